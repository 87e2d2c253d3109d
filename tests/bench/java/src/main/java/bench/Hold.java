package bench;

/** Stands still after the end, so that the bench can still read this process's memory figures. */
final class Hold {
    private Hold() {}

    static void untilKilled() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
