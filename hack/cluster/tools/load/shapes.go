// Streams of HTTP/2 and handshakes of TLS, with the standard library's own clients; and the wait for a listener.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// callPath and callHeader are what a call of gRPC has (its specification, "Requests").
const callPath = "/shop.Items/Get"

var callHeader = http.Header{
	"Content-Type":         {"application/grpc+proto"},
	"Te":                   {"trailers"},
	"Grpc-Accept-Encoding": {"gzip"},
	"User-Agent":           {"grpc-go/1.80.0"},
}

// perConnection is how many workers share a connection of HTTP/2.
const perConnection = 16

// streams makes unary calls of gRPC: a POST with one message on a stream of its own, answered by a message and a status in trailers.
type streams struct {
	client *http.Client
	url    string
}

var sharedClients struct {
	sync.Mutex
	made int
	last *http.Client
}

func newStreams(to string) *streams {
	sharedClients.Lock()
	defer sharedClients.Unlock()
	if sharedClients.made%perConnection == 0 {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		sharedClients.last = &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: timeout}
	}
	sharedClients.made++
	return &streams{client: sharedClients.last, url: "http://" + to + callPath}
}

func (s *streams) prepare() error { return s.work() }
func (s *streams) close()         {}

func (s *streams) work() error {
	request, err := http.NewRequest(http.MethodPost, s.url, bytes.NewReader(zeros[:smallBody]))
	if err != nil {
		return err
	}
	request.Header = callHeader
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return err
	}
	if status := response.Trailer.Get("Grpc-Status"); response.StatusCode != http.StatusOK || n != smallBody || status != "0" {
		return fmt.Errorf("answered %s with %d bytes and status %q of the call", response.Status, n, status)
	}
	return nil
}

// tlsFiles say with what a client of TLS shows itself, and whom it wants; without a folder it shows nothing and takes anybody.
type tlsFiles struct {
	folder string
	name   string
}

// The one suite and group that all contestants are set to.
const (
	wantedSuite = tls.TLS_AES_128_GCM_SHA256
	wantedGroup = tls.X25519
)

// handshaking makes a full handshake and one request, then goes.
type handshaking struct {
	connecting
	config *tls.Config
}

func newHandshaking(to string, files tlsFiles) (*handshaking, error) {
	config, err := files.config()
	return &handshaking{connecting{to: to, request: requestOf("/", true)}, config}, err
}

func (f tlsFiles) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: f.name, SessionTicketsDisabled: true}
	if f.folder == "" {
		config.InsecureSkipVerify = true
		return config, nil
	}
	at := func(name string) string { return filepath.Join(f.folder, name) }
	pair, err := tls.LoadX509KeyPair(at("tls.crt"), at("tls.key"))
	if err != nil {
		return nil, err
	}
	bundle, err := os.ReadFile(at("ca.crt"))
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(bundle) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	return config, nil
}

func (h *handshaking) work() error {
	raw, err := net.DialTimeout("tcp4", h.to, timeout)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, h.config)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if err := conn.Handshake(); err != nil {
		return err
	}
	if state := conn.ConnectionState(); state.CipherSuite != wantedSuite || state.CurveID != wantedGroup {
		return fmt.Errorf("agreed on %s and %s", tls.CipherSuiteName(state.CipherSuite), state.CurveID)
	}
	if _, err := conn.Write(h.request); err != nil {
		return err
	}
	return h.reader.answer(conn, nil)
}

// ready waits until something listens, or answers 200.
func ready(args []string) error {
	if len(args) != 2 {
		return errors.New(usage)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	context, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for context.Err() == nil {
		if answers(client, args[0], args[1]) {
			fmt.Println(time.Now().UnixNano())
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s did not become ready", args[1])
}

func answers(client *http.Client, kind, where string) bool {
	if kind == "tcp" {
		conn, err := net.Dial("tcp4", where)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	response, err := client.Get(where)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
