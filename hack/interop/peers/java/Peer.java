// A Spring Boot server and an OkHttp client for the interop tests. The server takes the PEM files of the mounted folder, the client the
// PKCS#12 keystore and truststore; both are SSL bundles that Spring Boot loads again when the kubelet has swapped the folder.
package dev.tabard.interop;

import jakarta.servlet.http.HttpServletRequest;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.X509TrustManager;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Peer {
  private volatile SslBundle bundle;

  @GetMapping("/")
  String hello(HttpServletRequest request) {
    var chain = (X509Certificate[]) request.getAttribute("jakarta.servlet.request.X509Certificate");
    return "hello " + chain[0].getSerialNumber().toString(16).toUpperCase() + "\n";
  }

  // A context of its own for each call: a resumed session would show the certificate of when it began.
  private OkHttpClient client() {
    X509TrustManager trust = Arrays.stream(bundle.getManagers().getTrustManagers())
        .filter(X509TrustManager.class::isInstance)
        .map(X509TrustManager.class::cast)
        .findFirst()
        .orElseThrow();
    return new OkHttpClient.Builder()
        .sslSocketFactory(bundle.createSslContext().getSocketFactory(), trust)
        .dns(host -> List.of(InetAddress.getLoopbackAddress()))
        .callTimeout(20, TimeUnit.SECONDS)
        .build();
  }

  private String call(String host, String port) {
    Request request = new Request.Builder().url("https://" + host + ":" + port + "/").header("Connection", "close").build();
    try (Response response = client().newCall(request).execute()) {
      var leaf = (X509Certificate) response.handshake().peerCertificates().get(0);
      response.body().string();
      return "ok " + leaf.getSerialNumber().toString(16).toUpperCase() + " " + response.code();
    } catch (Exception error) {
      return "error " + String.valueOf(error).replace('\n', ' ');
    }
  }

  public static void main(String[] arguments) throws Exception {
    var context = SpringApplication.run(Peer.class, arguments);
    var peer = context.getBean(Peer.class);
    var bundles = context.getBean(SslBundles.class);
    peer.bundle = bundles.getBundle("client");
    bundles.addBundleUpdateHandler("client", updated -> peer.bundle = updated);
    System.out.println("ready");
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      var words = line.split(" ");
      System.out.println(peer.call(words[0], words[1]));
    }
    System.exit(0);
  }
}
