// Reads what Tabard wrote with Java's own parser and path validator and compares it with what was meant. Input and output are those of check.go
// beside this file; requests are left out, since Java has no public reader of them.
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

public class Check {
  static final CertificateFactory FACTORY = factory();

  static CertificateFactory factory() {
    try {
      return CertificateFactory.getInstance("X.509");
    } catch (Exception cause) {
      throw new IllegalStateException(cause);
    }
  }

  public static void main(String[] arguments) throws Exception {
    List<String[]> items = new ArrayList<>();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) items.add(line.split("\t", -1));
    Map<String, X509Certificate> authorities = new HashMap<>();
    for (String[] item : items) if (item[1].equals("ca")) authorities.put(item[0], certificate(item[2]));
    int checked = 0;
    for (String[] item : items) {
      if (item[1].equals("csr")) continue;
      checked++;
      for (String fault : faults(item, authorities.get(item[3]))) System.out.println(item[0] + "\t" + fault);
    }
    System.out.println(checked);
  }

  static List<String> faults(String[] item, X509Certificate issuer) {
    List<String> found = new ArrayList<>();
    try {
      if (item[1].equals("crl")) listFaults(item, issuer, found);
      else certificateFaults(item, issuer, found);
    } catch (Exception fault) {
      found.add(fault.toString());
    }
    return found;
  }

  static X509Certificate certificate(String path) throws Exception {
    return (X509Certificate) FACTORY.generateCertificate(new ByteArrayInputStream(Files.readAllBytes(Path.of(path))));
  }

  static void certificateFaults(String[] item, X509Certificate issuer, List<String> found) throws Exception {
    X509Certificate read = certificate(item[2]);
    if (!read.getSerialNumber().equals(new BigInteger(item[5], 16))) found.add("another serial number");
    if (!read.getNotBefore().equals(seconds(item[6]))) found.add("another beginning");
    if (!read.getNotAfter().equals(seconds(item[7]))) found.add("another end");
    if ((read.getBasicConstraints() >= 0) != item[1].equals("ca")) found.add("the CA bit is wrong");
    Set<String> wanted = new TreeSet<>();
    for (String uri : words(item[8])) wanted.add("6 " + uri);
    for (String name : words(item[9])) wanted.add("2 " + name);
    for (String address : words(item[10])) wanted.add("7 " + InetAddress.getByName(address).getHostAddress());
    Set<String> names = new TreeSet<>();
    if (read.getSubjectAlternativeNames() != null) {
      for (List<?> name : read.getSubjectAlternativeNames()) {
        String value = name.get(1).toString();
        boolean address = name.get(0).equals(7);
        names.add(name.get(0) + " " + (address ? InetAddress.getByName(value).getHostAddress() : value));
      }
    }
    if (!names.equals(wanted)) found.add("other names: " + names);
    read.verify(issuer.getPublicKey());
    if (item[1].equals("ca")) return;
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(issuer, null)));
    parameters.setRevocationEnabled(false);
    parameters.setDate(seconds(item[4]));
    CertPathValidator.getInstance("PKIX").validate(FACTORY.generateCertPath(List.of(read)), parameters);
  }

  static void listFaults(String[] item, X509Certificate issuer, List<String> found) throws Exception {
    X509CRL list = (X509CRL) FACTORY.generateCRL(new ByteArrayInputStream(Files.readAllBytes(Path.of(item[2]))));
    list.verify(issuer.getPublicKey());
    if (!list.getThisUpdate().equals(seconds(item[6]))) found.add("another beginning");
    if (!list.getNextUpdate().equals(seconds(item[7]))) found.add("another end");
    Set<BigInteger> serials = new TreeSet<>();
    if (list.getRevokedCertificates() != null) list.getRevokedCertificates().forEach(entry -> serials.add(entry.getSerialNumber()));
    Set<BigInteger> wanted = new TreeSet<>();
    for (String serial : words(item[9])) wanted.add(new BigInteger(serial, 16));
    if (!serials.equals(wanted)) found.add("other serials are revoked");
  }

  static Date seconds(String text) {
    return new Date(Long.parseLong(text) * 1000);
  }

  static List<String> words(String text) {
    return text.isEmpty() ? List.of() : List.of(text.split(" "));
  }
}
