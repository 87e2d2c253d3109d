import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.transforms.Transformation;

/** What a connector's converter and transforms make of records: `Transforms PROPERTIES RECORDS`, a JSON value a line. */
public class Transforms {
    private static final String TOPIC = "eximwatch.alerts";

    public static void main(String[] args) throws Exception {
        Map<String, String> config = new LinkedHashMap<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            int at = line.indexOf('=');
            config.put(line.substring(0, at), line.substring(at + 1));
        }
        JsonConverter json = new JsonConverter();
        json.configure(Map.of("schemas.enable", config.get("value.converter.schemas.enable")), false);
        for (String line : Files.readAllLines(Path.of(args[1]))) {
            SchemaAndValue value = json.toConnectData(TOPIC, line.getBytes("UTF-8"));
            byte[] key = "a host".getBytes("UTF-8");
            SinkRecord record = new SinkRecord(TOPIC, 0, null, key, value.schema(), value.value(), 7);
            for (String name : config.get("transforms").split(",")) {
                record = transform(config, "transforms." + name + ".").apply(record);
            }
            byte[] document = json.fromConnectData(TOPIC, record.valueSchema(), record.value());
            System.out.println(record.topic() + " " + record.key() + " " + new String(document, "UTF-8"));
        }
    }

    @SuppressWarnings("unchecked")
    private static Transformation<SinkRecord> transform(Map<String, String> config, String prefix) throws Exception {
        Map<String, String> own = new HashMap<>();
        config.forEach((key, value) -> {
            if (key.startsWith(prefix) && !key.equals(prefix + "type")) {
                own.put(key.substring(prefix.length()), value);
            }
        });
        Class<?> type = Class.forName(config.get(prefix + "type"));
        var made = (Transformation<SinkRecord>) type.getDeclaredConstructor().newInstance();
        made.configure(own);
        return made;
    }
}
