// A server and a client of Mono's SslStream for the interop tests; both read the mounted folder for each connection. Mono's TLS is an old
// BoringSSL: it takes RSA keys alone, speaks TLS 1.2, and does not open today's PKCS#12, so that key and certificate are put together
// from their PEM files here. .NET itself needs none of that (X509Certificate2.CreateFromPemFile).
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Reflection;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using Mono.Security.Cryptography;
using Mono.Security.Interface;
using X509Certificate = System.Security.Cryptography.X509Certificates.X509Certificate;
using X509CertificateCollection = System.Security.Cryptography.X509Certificates.X509CertificateCollection;

// A key whose numbers have no leading zero bytes: Mono keeps those that it pads with, writes them into its DER, and BoringSSL then
// refuses the key, which one in 256 is.
class Minimal : RSA
{
  readonly RSAParameters numbers;

  public Minimal(RSA key)
  {
    numbers = key.ExportParameters(true);
    numbers.D = Trimmed(numbers.D);
    numbers.DP = Trimmed(numbers.DP);
    numbers.DQ = Trimmed(numbers.DQ);
    numbers.InverseQ = Trimmed(numbers.InverseQ);
  }

  static byte[] Trimmed(byte[] number)
  {
    return number.SkipWhile(each => each == 0).ToArray();
  }

  public override RSAParameters ExportParameters(bool includePrivateParameters)
  {
    return numbers;
  }

  public override void ImportParameters(RSAParameters parameters)
  {
    throw new NotSupportedException();
  }
}

class Peer
{
  const int TimeoutMs = 20000;

  static List<byte[]> Pem(string file, string label)
  {
    var blocks = new List<byte[]>();
    var form = new Regex("-----BEGIN " + label + "-----([^-]+)-----END " + label + "-----");
    foreach (Match match in form.Matches(File.ReadAllText(file)))
      blocks.Add(Convert.FromBase64String(match.Groups[1].Value));
    return blocks;
  }

  // The key is put beside the certificate without a PKCS#12 in between: those that Mono writes it cannot always read again.
  static X509Certificate2 Own(string folder)
  {
    var rsa = PKCS8.PrivateKeyInfo.DecodeRSA(new PKCS8.PrivateKeyInfo(Pem(Path.Combine(folder, "tls.key"), "PRIVATE KEY")[0]).PrivateKey);
    var certificate = new X509Certificate2(Pem(Path.Combine(folder, "tls.crt"), "CERTIFICATE")[0]);
    const BindingFlags any = BindingFlags.Instance | BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;
    var key = typeof(SslStream).Assembly.GetType("Mono.Btls.MonoBtlsKey").GetMethod("CreateFromRSAPrivateKey", any).Invoke(null, new object[] { new Minimal(rsa) });
    object inner = typeof(X509Certificate2).GetProperty("Impl", any | BindingFlags.DeclaredOnly).GetValue(certificate);
    inner.GetType().GetField("nativePrivateKey", any).SetValue(inner, key);
    return certificate;
  }

  static SslStream Secure(string folder, Stream stream)
  {
    var settings = MonoTlsSettings.CopyDefaultSettings();
    var anchors = new X509CertificateCollection();
    foreach (var authority in Pem(Path.Combine(folder, "ca.crt"), "CERTIFICATE")) anchors.Add(new X509Certificate2(authority));
    settings.TrustAnchors = anchors;
    // Left to itself Mono compares the text of issuer names, and sends nothing.
    settings.ClientCertificateSelectionCallback = (host, own, peer, issuers) => own[0];
    return MonoTlsProviderFactory.GetProvider().CreateSslStream(stream, false, settings).SslStream;
  }

  // One read or write at a time ends after this long, so that a peer that stops cannot hold a thread.
  static TcpClient Bounded(TcpClient client)
  {
    client.ReceiveTimeout = TimeoutMs;
    client.SendTimeout = TimeoutMs;
    return client;
  }

  static string Serial(X509Certificate certificate)
  {
    return new X509Certificate2(certificate).SerialNumber.TrimStart('0');
  }

  static string Head(Stream stream)
  {
    var text = new StringBuilder();
    var buffer = new byte[4096];
    while (text.ToString().IndexOf("\r\n\r\n", StringComparison.Ordinal) < 0)
    {
      int count = stream.Read(buffer, 0, buffer.Length);
      if (count <= 0) break;
      text.Append(Encoding.ASCII.GetString(buffer, 0, count));
    }
    return text.ToString();
  }

  static void Answer(string folder, TcpClient client)
  {
    try
    {
      using (client)
      using (var tls = Secure(folder, client.GetStream()))
      {
        tls.AuthenticateAsServer(Own(folder), true, SslProtocols.Tls12, false);
        // Mono asks for a certificate but goes on without one.
        if (tls.RemoteCertificate == null) throw new AuthenticationException("no client certificate");
        Head(tls);
        var body = "hello " + Serial(tls.RemoteCertificate) + "\n";
        var answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + body.Length + "\r\n\r\n" + body;
        tls.Write(Encoding.ASCII.GetBytes(answer));
        tls.Flush();
        tls.ShutdownAsync().Wait(TimeoutMs);
      }
    }
    catch (Exception error)
    {
      Console.Error.WriteLine("refused: " + error);
    }
  }

  static string Call(string folder, string host, int port)
  {
    try
    {
      using (var client = Bounded(new TcpClient("127.0.0.1", port)))
      using (var tls = Secure(folder, client.GetStream()))
      {
        tls.AuthenticateAsClient(host, new X509CertificateCollection { Own(folder) }, SslProtocols.Tls12, false);
        var serial = Serial(tls.RemoteCertificate);
        tls.Write(Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"));
        tls.Flush();
        var head = Head(tls);
        return head.StartsWith("HTTP/1.") ? "ok " + serial + " " + head.Substring(9, 3) : "error no answer";
      }
    }
    catch (Exception error)
    {
      return "error " + (error.InnerException ?? error).Message.Replace('\n', ' ');
    }
  }

  static void Main(string[] arguments)
  {
    var folder = arguments[1];
    if (arguments[0] == "serve")
    {
      var listener = new TcpListener(IPAddress.Loopback, int.Parse(arguments[2]));
      listener.Start();
      while (true)
      {
        var client = Bounded(listener.AcceptTcpClient());
        new Thread(() => Answer(folder, client)) { IsBackground = true }.Start();
      }
    }
    for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
    {
      var words = line.Split(' ');
      Console.WriteLine(Call(folder, words[0], int.Parse(words[1])));
    }
  }
}
