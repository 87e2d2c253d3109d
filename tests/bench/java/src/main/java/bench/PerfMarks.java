package bench;

import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Marks the span of a consumer that we can't change (ConsumerPerformance), from inside: called once for each poll.
 *
 * <p>The span begins when the first records come back, since nothing tells an interceptor of the assignment. What the
 * first poll brought is not counted.
 */
public final class PerfMarks implements ConsumerInterceptor<Object, Object> {
    private long wanted;
    private long seen;
    private boolean ended;

    @Override
    public void configure(Map<String, ?> settings) {
        wanted = Long.parseLong(System.getProperty("bench.events"));
    }

    @Override
    public ConsumerRecords<Object, Object> onConsume(ConsumerRecords<Object, Object> records) {
        if (seen == 0) {
            Marks.print("start");
        }
        seen += records.count();
        if (seen >= wanted && !ended) {
            ended = true;
            Marks.print("end");
            Hold.untilKilled();
        }
        return records;
    }

    @Override
    public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {}

    @Override
    public void close() {}
}
