import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What an exploit, a benign input and Crisol have to say to each other. Crisol writes one line of JSON to standard
 * input: {"token": secret of this run, "size": n, "hostile": true|false, "payload": text, if there is one}; it is read before the
 * target is loaded.
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
  /** What the manifest gives this exploit, or a variant derived from it; null where there is none or it is no text. */
  public final String payload;
  private final String token;
  private boolean reached;

  private Trial() throws java.io.IOException {
    String order = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    token = find(order, "\"token\"\\s*:\\s*\"([^\"]*)\"", "");
    size = Integer.parseInt(find(order, "\"size\"\\s*:\\s*(\\d+)", "0"));
    hostile = !"false".equals(find(order, "\"hostile\"\\s*:\\s*(true|false)", "true"));
    String quoted = find(order, "\"payload\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"", null);
    payload = quoted == null ? null : unquote(quoted);
  }

  private static String unquote(String json) {
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < json.length(); i++) {
      char c = json.charAt(i);
      if (c != '\\') { out.append(c); continue; }
      c = json.charAt(++i);
      switch (c) {
        case 'n': out.append('\n'); break;
        case 't': out.append('\t'); break;
        case 'r': out.append('\r'); break;
        case 'b': out.append('\b'); break;
        case 'f': out.append('\f'); break;
        case 'u': out.append((char) Integer.parseInt(json.substring(i + 1, i + 5), 16)); i += 4; break;
        default: out.append(c);
      }
    }
    return out.toString();
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
