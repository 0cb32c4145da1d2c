// TLS clients of others, each as a function: connect to a loopback port with a leaf, judge the server by a bundle, read one line. They
// check the chain alone: names are the sidecar's business.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';

/** What a client is to do. `leaf` is a path without `.crt` and `.key`. */
export interface TlsCall {
  readonly port: number;
  readonly leaf: string;
  readonly bundle: string;
}

/** Whether the client found the server's certificate good, and the line that the server sent. */
export interface TlsOutcome {
  readonly trusted: boolean;
  readonly answer: string;
}

export type TlsClient = (call: TlsCall) => Promise<TlsOutcome>;

const run = promisify(execFile);
const limits = { timeout: 120_000, maxBuffer: 1024 * 1024 };

/** Standard output of a program, whatever its exit code; standard error follows it. */
async function output(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const done = run(program, [...args], { ...limits, env });
  done.child.stdin?.end();
  const { stdout, stderr } = await done.catch((error: { readonly stdout?: string; readonly stderr?: string }) => ({
    stdout: error.stdout ?? '',
    stderr: error.stderr ?? 'the program could not be run',
  }));
  return `${stdout}\n${stderr}`;
}

/** The line of a text that the server sent. */
function answerIn(text: string): string {
  return text.split('\n').find((line) => line.startsWith('welcome') || line.startsWith('refused')) ?? '';
}

/** Go and Java print `trusted` or `untrusted`, then what they read. */
function spoken(text: string): TlsOutcome {
  if (!/^(?:un)?trusted$/m.test(text)) throw new Error(`the client said nothing of use: ${text}`);
  return { trusted: /^trusted$/m.test(text), answer: answerIn(text) };
}

/** node:tls of this process. */
export function nodeClient(): TlsClient {
  return async ({ port, leaf, bundle }) => {
    const [cert, key, ca] = [`${leaf}.crt`, `${leaf}.key`, bundle].map((path) => readFileSync(path, 'utf8'));
    return new Promise((resolve) => {
      let text = '';
      let isTrusted = false;
      const identity = { checkServerIdentity: () => undefined };
      const socket = connect({ host: '127.0.0.1', port, cert, key, ca, minVersion: 'TLSv1.3', ...identity }, () => {
        isTrusted = socket.authorized;
      });
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve({ trusted: isTrusted, answer: answerIn(text) }));
    });
  };
}

/** `openssl s_client` as installed; also with -x509_strict. */
export function opensslClient(): TlsClient {
  return async ({ port, leaf, bundle }) => {
    const files = ['-cert', `${leaf}.crt`, '-cert_chain', `${leaf}.crt`, '-key', `${leaf}.key`, '-CAfile', bundle];
    const strict = ['-verify_return_error', '-x509_strict', '-no-CApath', '-no-CAstore', '-ign_eof', '-quiet'];
    const text = await output('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...files, ...strict]);
    // With this option a chain that does not verify ends the handshake, so that nothing is answered.
    return { trusted: answerIn(text) !== '', answer: answerIn(text) };
  };
}

const goSource = `package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

func main() {
	pem, err := os.ReadFile(os.Args[3])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		panic("no roots")
	}
	pair, err := tls.LoadX509KeyPair(os.Args[2]+".crt", os.Args[2]+".key")
	if err != nil {
		panic(err)
	}
	config := &tls.Config{
		Certificates:       []tls.Certificate{pair},
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, each := range state.PeerCertificates[1:] {
				intermediates.AddCert(each)
			}
			usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: usages})
			return err
		},
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], config)
	if err != nil {
		fmt.Println("untrusted")
		fmt.Println("why:", err)
		return
	}
	fmt.Println("trusted")
	line, _ := bufio.NewReader(connection).ReadString('\\n')
	fmt.Print(line)
}
`;

/** Go's crypto/tls, built once into a folder from a source that needs nothing but the standard library. */
export async function goClient(folder: string): Promise<TlsClient> {
  const source = join(folder, 'client.go');
  const program = join(folder, 'go-client');
  writeFileSync(source, goSource);
  // No module and no network: whatever the machine's settings are.
  const env = { ...process.env, GOFLAGS: '', GOWORK: 'off', GOTOOLCHAIN: 'local', GO111MODULE: 'off' };
  const said = await output('go', ['build', '-o', program, source], env);
  if (said.trim() !== '') throw new Error(`go build: ${said}`);
  return async ({ port, leaf, bundle }) => spoken(await output(program, [String(port), leaf, bundle]));
}

const javaSource = `import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.cert.Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import javax.net.ssl.*;

public class Client {
  static List<Certificate> certificates(String path) throws Exception {
    try (InputStream in = new FileInputStream(path)) {
      return new ArrayList<>(CertificateFactory.getInstance("X.509").generateCertificates(in));
    }
  }

  public static void main(String[] args) throws Exception {
    String pem = Files.readString(Path.of(args[1] + ".key")).replaceAll("-----[A-Z ]+-----|\\\\s", "");
    PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    own.setKeyEntry("leaf", key, new char[0], certificates(args[1] + ".crt").toArray(new Certificate[0]));
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, new char[0]);
    KeyStore roots = KeyStore.getInstance("PKCS12");
    roots.load(null, null);
    int count = 0;
    for (Certificate each : certificates(args[2])) roots.setCertificateEntry("ca" + count++, each);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(roots);
    X509TrustManager judge = (X509TrustManager) trust.getTrustManagers()[0];
    // The plain interface judges the chain alone, without the host's name.
    X509TrustManager chainOnly = new X509TrustManager() {
      public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException { judge.checkClientTrusted(chain, type); }
      public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException { judge.checkServerTrusted(chain, type); }
      public X509Certificate[] getAcceptedIssuers() { return judge.getAcceptedIssuers(); }
    };
    SSLContext context = SSLContext.getInstance("TLSv1.3");
    context.init(keys.getKeyManagers(), new TrustManager[] { chainOnly }, null);
    try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(args[0]))) {
      try {
        socket.startHandshake();
      } catch (SSLHandshakeException refused) {
        System.out.println("untrusted");
        System.out.println("why: " + refused.getMessage());
        return;
      }
      System.out.println("trusted");
      System.out.println(new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
    }
  }
}
`;

/** Java's JSSE, compiled once into a folder. */
export async function javaClient(folder: string): Promise<TlsClient> {
  const source = join(folder, 'Client.java');
  writeFileSync(source, javaSource);
  const said = await output('javac', ['-d', folder, source]);
  if (said.trim() !== '') throw new Error(`javac: ${said}`);
  return async ({ port, leaf, bundle }) =>
    spoken(await output('java', ['-cp', folder, 'Client', String(port), leaf, bundle]));
}
