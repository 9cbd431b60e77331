// The peer of bench_join: the same impression-click left join in Kafka Streams.
//
// usage: java -cp 'LIBS/*' StreamsJoin.java BOOTSTRAP fill IMPRESSIONS
//        java -cp 'LIBS/*' StreamsJoin.java BOOTSTRAP join IMPRESSIONS [at_least_once|exactly_once_v2]
// `fill` writes IMPRESSIONS records of 150 bytes and a click of 40 bytes for each fourth, one to two
// thousand impressions later, to two topics of four partitions. `join` reads them from the beginning and
// prints a figure line with events/s.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

public class StreamsJoin {
    static final int PARTITIONS = 4;
    static final int CLICK_DELAY = 1000;

    static void ensure(String brokers, String... topics) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) brokers))) {
            Set<String> present = admin.listTopics().names().get();
            List<NewTopic> wanted = new ArrayList<>();
            for (String topic : topics)
                if (!present.contains(topic))
                    wanted.add(new NewTopic(topic, PARTITIONS, (short) 1)
                        .configs(Map.of("message.timestamp.type", "CreateTime", "retention.ms", "-1")));
            admin.createTopics(wanted).all().get();
        }
    }

    static void fill(String brokers, int impressions) throws Exception {
        ensure(brokers, "peer-impressions", "peer-clicks");
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "linger.ms", "20",
            "batch.size", "262144", "compression.type", "lz4");
        Random random = new Random(1);
        long start = 1_650_000_000_000L;
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < impressions; i++) {
                byte[] value = new byte[150];
                random.nextBytes(value);
                long time = start + 5L * i;
                producer.send(new ProducerRecord<>("peer-impressions", null, time, "imp-" + i, value));
                if (i >= 2 * CLICK_DELAY && i % 4 == 0) {
                    String key = "imp-" + (i - CLICK_DELAY - random.nextInt(CLICK_DELAY));
                    producer.send(new ProducerRecord<>("peer-clicks", null, time, key, new byte[40]));
                }
            }
        }
    }

    static byte[] labelled(byte[] impression, byte[] click) {
        byte[] joined = Arrays.copyOf(impression, impression.length + 1);
        joined[impression.length] = (byte) (click == null ? 0 : 1);
        return joined;
    }

    static void join(String brokers, int impressions, String guarantee) throws Exception {
        ensure(brokers, "peer-joined");
        Properties settings = new Properties();
        settings.putAll(Map.of("application.id", "peer-" + System.nanoTime(), "bootstrap.servers", brokers,
            "processing.guarantee", guarantee, "num.stream.threads", 2, "auto.offset.reset", "earliest",
            "replication.factor", 1, "producer.linger.ms", 20, "producer.compression.type", "lz4"));
        settings.put("max.task.idle.ms", 0);
        settings.put("statestore.cache.max.bytes", 104857600L);
        settings.put("state.dir", System.getProperty("java.io.tmpdir") + "/peer-streams-" + System.nanoTime());
        AtomicLong in = new AtomicLong(), out = new AtomicLong();
        StreamsBuilder builder = new StreamsBuilder();
        var serdes = Consumed.with(Serdes.String(), Serdes.ByteArray());
        KStream<String, byte[]> shown = builder.stream("peer-impressions", serdes);
        KStream<String, byte[]> clicks = builder.stream("peer-clicks", serdes);
        shown.peek((k, v) -> in.incrementAndGet())
            .leftJoin(clicks.peek((k, v) -> in.incrementAndGet()), StreamsJoin::labelled,
                JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(60), Duration.ofSeconds(10)),
                StreamJoined.with(Serdes.String(), Serdes.ByteArray(), Serdes.ByteArray()))
            .peek((k, v) -> out.incrementAndGet())
            .to("peer-joined", Produced.with(Serdes.String(), Serdes.ByteArray()));
        long total = impressions + Math.max(0, (impressions - 2 * CLICK_DELAY) / 4);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        long begin = 0;
        while (in.get() < total) {
            if (begin == 0 && in.get() > 0)
                begin = System.nanoTime();
            Thread.sleep(10);
        }
        double seconds = (System.nanoTime() - begin) / 1e9;
        System.out.printf(Locale.ROOT,
            "figure bench=join case=kafka who=%s value=%.0f unit=events/s events=%d joined=%d version=%s%n",
            guarantee.equals("at_least_once") ? "streams-at-least-once" : "streams-exactly-once",
            total / seconds, total, out.get(), org.apache.kafka.common.utils.AppInfoParser.getVersion());
        streams.close(Duration.ofSeconds(10));
        System.exit(0);
    }

    public static void main(String[] arguments) throws Exception {
        int impressions = Integer.parseInt(arguments[2]);
        if (arguments[1].equals("fill"))
            fill(arguments[0], impressions);
        else
            join(arguments[0], impressions, arguments.length > 3 ? arguments[3] : "at_least_once");
    }
}
