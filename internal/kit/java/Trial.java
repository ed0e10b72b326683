import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What an exploit, a benign input and Crisol have to say to each other. Crisol writes one line of JSON to standard
 * input: {"token": secret of this run, "size": n, "hostile": true|false}; it is read before the target is loaded.
 *
 * <pre>Trial.exploit(t -> { t.attack(() -> target(payload)); return effect; });
 * Trial.benign(t -> { ... });
 * Trial.slow(t -> t.attack(() -> ...));</pre>
 */
public final class Trial {
  /** A call that may throw. */
  public interface Call { void run() throws Throwable; }
  /** An attack: true when it succeeded. */
  public interface Attack { boolean run(Trial t) throws Throwable; }
  /** A benign input: healthy when it returns. */
  public interface Input { void run(Trial t) throws Throwable; }

  public final int size;
  public final boolean hostile;
  private final String token;
  private boolean reached;

  private Trial() throws java.io.IOException {
    String order = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    token = find(order, "\"token\"\\s*:\\s*\"([^\"]*)\"", "");
    size = Integer.parseInt(find(order, "\"size\"\\s*:\\s*(\\d+)", "0"));
    hostile = !"false".equals(find(order, "\"hostile\"\\s*:\\s*(true|false)", "true"));
  }

  private static String find(String text, String regex, String fallback) {
    Matcher m = Pattern.compile(regex).matcher(text);
    return m.find() ? m.group(1) : fallback;
  }

  /** Makes the call under attack. What it throws is returned: a fix may well refuse by throwing. */
  public Throwable attack(Call call) {
    reached = true;
    try { call.run(); return null; } catch (Throwable err) { return err; }
  }

  private void say(String word) { System.out.print("\ncrisol " + word + " " + token + "\n"); System.out.flush(); }

  public static void exploit(Attack body) { run(t -> { boolean effect = body.run(t); if (t.reached) t.say("reached"); return effect ? 0 : 1; }); }
  public static void benign(Input body) { run(t -> { body.run(t); t.say("healthy"); return 0; }); }
  public static void slow(Input body) { run(t -> { body.run(t); if (t.reached) t.say("reached"); return 0; }); }

  private interface Judged { int run(Trial t) throws Throwable; }

  private static void run(Judged body) {
    int code = 3;
    try { code = body.run(new Trial()); } catch (Throwable err) { err.printStackTrace(); }
    System.out.flush();
    Runtime.getRuntime().halt(code);
  }
}
