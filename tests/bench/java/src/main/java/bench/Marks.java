package bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** The two marks of a measured span, printed for the bench that started this process. */
final class Marks {
    private Marks() {}

    /** Print a mark: CPU ticks of this process so far, and the clock that Python's time.monotonic reads. */
    static void print(String name) {
        try {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            // The second field, the command's name, may hold blanks; it ends with the last parenthesis.
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            long ticks = Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
            double seconds = System.nanoTime() / 1e9;
            System.out.printf(Locale.ROOT, "%nBENCH %s %.6f %d%n", name, seconds, ticks);
            System.out.flush();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
