// A MongoDB-compatible server on an H2 file. Two things differ from the library's own main class: it names a wire version
// that today's drivers accept, and it commits before it answers, so that what was acknowledged survives a kill. H2's own
// background commits are off: they write after they return, so a commit of ours would find nothing left to wait for.
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

import org.h2.mvstore.MVStore;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;

class Launcher {
    private static final int FULL_PERCENT = 50, REWRITE_BYTES = 4 << 20, COMPACT_SECONDS = 5;

    public static void main(String[] args) {
        MVStore store = new MVStore.Builder().fileName(args[1]).autoCommitDisabled().open();
        H2Backend backend = new H2Backend(store) {
            @Override
            public Document handleMessage(MongoMessage message) {
                try {
                    return super.handleMessage(message);
                } finally {
                    commit();
                }
            }
        };
        // The background thread that would have kept the file small is off with its commits.
        Executors.newSingleThreadScheduledExecutor(work -> {
            Thread thread = new Thread(work, "compact");
            thread.setDaemon(true);
            return thread;
        }).scheduleWithFixedDelay(() -> store.compact(FULL_PERCENT, REWRITE_BYTES), COMPACT_SECONDS, COMPACT_SECONDS, TimeUnit.SECONDS);
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
