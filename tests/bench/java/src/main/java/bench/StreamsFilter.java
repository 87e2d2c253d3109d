package bench;

import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;

/** Kafka Streams as one would write this filter: two threads, raw bytes, the few that pass are counted. */
public final class StreamsFilter {
    private static final byte[] NEEDLE = "exim4".getBytes(StandardCharsets.US_ASCII);

    private StreamsFilter() {}

    /** Arguments: brokers, topic, group, events, state directory. */
    public static void main(String[] arguments) throws InterruptedException {
        long wanted = Long.parseLong(arguments[3]);
        LongAdder seen = new LongAdder();
        LongAdder passed = new LongAdder();
        AtomicBoolean started = new AtomicBoolean();

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .filter((key, value) -> {
                seen.increment();
                return contains(value);
            })
            .foreach((key, value) -> passed.increment());

        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING && started.compareAndSet(false, true)) {
                Marks.print("start");
            }
        });
        streams.start();
        while (seen.sum() < wanted) {
            Thread.sleep(2);
        }
        Marks.print("end");
        System.out.printf("%nBENCH found %d%n", passed.sum());
        System.out.flush();
        Hold.untilKilled();
    }

    private static boolean contains(byte[] value) {
        int last = value.length - NEEDLE.length;
        for (int at = 0; at <= last; at++) {
            if (value[at] == NEEDLE[0] && standsAt(value, at)) {
                return true;
            }
        }
        return false;
    }

    private static boolean standsAt(byte[] value, int at) {
        for (int index = 1; index < NEEDLE.length; index++) {
            if (value[at + index] != NEEDLE[index]) {
                return false;
            }
        }
        return true;
    }
}
