// Opens PKCS#12 files and prints what Java finds in them: one line per input line (kind, path, password; separated by tabs). For a `key` store: algorithm
// of the key, SHA-256 of its PKCS#8, then of each certificate of its chain; for a `trust` store: SHA-256 of each trusted certificate, sorted.
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Key;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;

public class Keystores {
  public static void main(String[] arguments) throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] fields = line.split("\t", -1);
      char[] password = fields[2].toCharArray();
      KeyStore store = KeyStore.getInstance("PKCS12");
      try (InputStream file = Files.newInputStream(Path.of(fields[1]))) {
        store.load(file, password);
      }
      List<String> found = new ArrayList<>();
      for (String alias : Collections.list(store.aliases())) {
        if (fields[0].equals("key") && store.isKeyEntry(alias)) {
          Key key = store.getKey(alias, password);
          found.add(digest(key.getEncoded()));
          for (Certificate each : store.getCertificateChain(alias)) found.add(digest(each.getEncoded()));
        } else if (store.isCertificateEntry(alias)) {
          found.add(digest(store.getCertificate(alias).getEncoded()));
        }
      }
      if (fields[0].equals("trust")) Collections.sort(found);
      System.out.println(String.join(" ", found));
    }
  }

  static String digest(byte[] content) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
  }
}
