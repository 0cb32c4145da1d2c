// A server and a client of Go's crypto/tls for the interop tests: both read the mounted certificate folder again when the
// kubelet has swapped it, as any Go program can.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// generation is what one state of the folder holds.
type generation struct {
	link  string
	pair  tls.Certificate
	roots *x509.CertPool
}

// folder is a certificate folder as the kubelet projects it.
type folder struct {
	path string
	mu   sync.Mutex
	last *generation
}

// current reads the files anew when the ..data link points elsewhere than before.
func (f *folder) current() (*generation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	link, err := os.Readlink(filepath.Join(f.path, "..data"))
	if err != nil {
		return nil, err
	}
	if f.last != nil && f.last.link == link {
		return f.last, nil
	}
	// Through the target of the link, so that all three files are of one generation.
	at := filepath.Join(f.path, link)
	pair, err := tls.LoadX509KeyPair(filepath.Join(at, "tls.crt"), filepath.Join(at, "tls.key"))
	if err != nil {
		return nil, err
	}
	bundle, err := os.ReadFile(filepath.Join(at, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s/ca.crt holds no certificate", f.path)
	}
	f.last = &generation{link, pair, roots}
	return f.last, nil
}

func serve(f *folder, address string) error {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := f.current()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:   tls.VersionTLS12,
				Certificates: []tls.Certificate{now.pair},
				ClientCAs:    now.roots,
				ClientAuth:   tls.RequireAndVerifyClientCert,
			}, nil
		},
	}
	listener, err := tls.Listen("tcp", address, config)
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %X\n", r.TLS.PeerCertificates[0].SerialNumber)
	}))
}

// call makes one request on a connection of its own.
func call(f *folder, host, port string) (string, error) {
	now, err := f.current()
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
		TLSClientConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			RootCAs:      now.roots,
			Certificates: []tls.Certificate{now.pair},
		},
	}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	response, err := client.Get("https://" + net.JoinHostPort(host, port) + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	return fmt.Sprintf("ok %X %d", response.TLS.PeerCertificates[0].SerialNumber, response.StatusCode), nil
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: peer serve FOLDER ADDRESS | peer call FOLDER")
	}
	f := &folder{path: os.Args[2]}
	if os.Args[1] == "serve" {
		log.Fatal(serve(f, os.Args[3]))
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		host, port, _ := strings.Cut(lines.Text(), " ")
		answer, err := call(f, host, port)
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(answer)
	}
}
