// A MongoDB-compatible server for machines without a mongod. The library keeps documents in memory; what it lacks is a journal,
// which is here: each command that writes goes to the end of a file, and reaches the disk, before it is carried out. A start
// carries out the journal again, and rewrites it as what there is. It also names a wire version that today's drivers accept.
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerException;
import de.bwaldvogel.mongo.wire.bson.BsonDecoder;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import de.bwaldvogel.mongo.wire.message.MessageHeader;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.embedded.EmbeddedChannel;

class Launcher {
    public static void main(String[] args) throws IOException {
        JournaledBackend backend = new JournaledBackend(Path.of(args[1]));
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
        backend.indexCarts(); // first: without it each write of the journal would look at every cart
        backend.recover();
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}

class JournaledBackend extends MemoryBackend {
    private static final Set<String> WRITES = Set.of(
        "insert", "update", "delete", "findAndModify", "findandmodify", "create", "createIndexes", "drop", "dropDatabase",
        "dropIndexes", "deleteIndexes", "renameCollection", "collMod");
    private static final int ALL = Integer.MAX_VALUE, BATCH = 1000;

    private final Path path;
    private final Channel nobody = new EmbeddedChannel();
    private FileChannel journal;

    JournaledBackend(Path path) {
        this.path = path;
    }

    @Override
    public Document handleMessage(MongoMessage message) {
        Document command = message.getDocument();
        if (!WRITES.contains(command.keySet().iterator().next())) {
            return super.handleMessage(message);
        }
        synchronized (this) { // the journal has the order in which the commands are carried out
            try {
                append(journal, command);
                journal.force(false);
            } catch (IOException error) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1); // half a record may be there: a start cuts it off
            }
            return super.handleMessage(message);
        }
    }

    /** Carry out what the journal has, and begin a new one with what there is. */
    void recover() throws IOException {
        if (Files.exists(path)) {
            replay();
        }
        Path fresh = path.resolveSibling(path.getFileName() + ".new");
        Files.deleteIfExists(fresh);
        journal = FileChannel.open(fresh, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        for (Document database : list(run("admin", new Document("listDatabases", 1)), "databases")) {
            write((String) database.get("name"));
        }
        journal.force(true);
        Files.move(fresh, path, StandardCopyOption.ATOMIC_MOVE);
    }

    /** The library uses an index only where its keys are the fields of the query: a cart is replaced by its user and version. */
    void indexCarts() {
        Document index = new Document("key", new Document("user_id", 1).append("version", 1)).append("name", "user_id_1_version_1");
        run("cartdb", new Document("createIndexes", "carts").append("indexes", List.of(index.append("unique", true))));
    }

    private void replay() throws IOException {
        try (FileChannel old = FileChannel.open(path, StandardOpenOption.READ)) {
            ByteBuffer length = ByteBuffer.allocate(Integer.BYTES);
            while (read(old, length)) {
                ByteBuffer record = ByteBuffer.allocate(length.getInt(0));
                if (!read(old, record)) {
                    return; // it was never carried out
                }
                Document command = BsonDecoder.decodeBson(Unpooled.wrappedBuffer(record.array()));
                try {
                    super.handleMessage(new MongoMessage(nobody, new MessageHeader(0, 0), command));
                } catch (MongoServerException error) {
                    // It was refused the first time as well.
                }
            }
        }
    }

    private void write(String database) throws IOException {
        for (Document collection : batch(run(database, new Document("listCollections", 1)))) {
            String name = (String) collection.get("name");
            List<Document> indexes = new ArrayList<>(batch(run(database, new Document("listIndexes", name))));
            append(journal, in(database, new Document("createIndexes", name).append("indexes", indexes)));
            List<Document> documents = new ArrayList<>(batch(run(database, new Document("find", name).append("batchSize", ALL))));
            for (int first = 0; first < documents.size(); first += BATCH) {
                List<Document> some = documents.subList(first, Math.min(first + BATCH, documents.size()));
                append(journal, in(database, new Document("insert", name).append("documents", some)));
            }
        }
    }

    private Document run(String database, Document command) {
        return super.handleMessage(new MongoMessage(nobody, new MessageHeader(0, 0), in(database, command)));
    }

    private static Document in(String database, Document command) {
        return command.append("$db", database);
    }

    private static Collection<Document> batch(Document reply) {
        return list((Document) reply.get("cursor"), "firstBatch");
    }

    @SuppressWarnings("unchecked")
    private static Collection<Document> list(Document document, String field) {
        return (Collection<Document>) document.get(field);
    }

    private static boolean read(FileChannel from, ByteBuffer buffer) throws IOException {
        buffer.clear();
        while (buffer.hasRemaining() && from.read(buffer) >= 0) { }
        return !buffer.hasRemaining();
    }

    private static void append(FileChannel to, Document command) throws IOException {
        ByteBuf record = Unpooled.buffer();
        record.writeInt(0);
        BsonEncoder.encodeDocument(command, record);
        record.setInt(0, record.readableBytes() - Integer.BYTES);
        while (record.isReadable()) {
            record.readBytes(to, record.readableBytes());
        }
    }
}
