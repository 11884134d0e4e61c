// A MongoDB-compatible server on an H2 file. Two things differ from the library's own main class: it names a wire version
// that today's drivers accept, and it commits before it answers, so that what was acknowledged survives a kill.
import java.util.List;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;

class Launcher {
    public static void main(String[] args) {
        H2Backend backend = new H2Backend(args[1]) {
            @Override
            public Document handleMessage(MongoMessage message) {
                Document reply = super.handleMessage(message);
                commit();
                return reply;
            }
        };
        backend.version(new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
                return List.of(5, 0, 0);
            }

            @Override
            public int getWireVersion() {
                return 13; // MongoDB 5.0
            }
        });
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}
