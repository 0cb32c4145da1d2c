// The back end: answers GET / with a small body and GET /bulk/N with N bytes, over HTTP/1.1 without a framework; who begins with the
// preface of HTTP/2 is served by net/http.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
)

// smallBody is what a small request is answered with.
const smallBody = 128

var zeros = make([]byte, 256<<10)

func serve(address string) error {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	handed := &handedOver{conns: make(chan net.Conn), address: listener.Addr()}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h2 := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(answerStream)}
	go h2.Serve(handed)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go serveConnection(conn, handed)
	}
}

// answerStream is what a unary call of gRPC costs without protobuf: read the message, send one back, and the status of the call behind it.
func answerStream(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.Write(zeros[:smallBody])
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

// handedOver is a listener for connections that another one has accepted.
type handedOver struct {
	conns   chan net.Conn
	address net.Addr
}

func (h *handedOver) Accept() (net.Conn, error) {
	conn, open := <-h.conns
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (h *handedOver) Close() error   { return nil }
func (h *handedOver) Addr() net.Addr { return h.address }

// peeked gives out again what was read ahead.
type peeked struct {
	net.Conn
	reader io.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.reader.Read(b) }

func serveConnection(conn net.Conn, h2 *handedOver) {
	reader := bufio.NewReaderSize(conn, 4096)
	if first, err := reader.Peek(3); err != nil {
		conn.Close()
		return
	} else if string(first) == "PRI" {
		h2.conns <- peeked{conn, reader}
		return
	}
	defer conn.Close()
	small := answer(smallBody, false)
	for {
		path, last, err := readHead(reader)
		if err != nil {
			return
		}
		size, err := sizeOf(path)
		if err != nil {
			return
		}
		if size == smallBody && !last {
			if _, err := conn.Write(small); err != nil {
				return
			}
			continue
		}
		if size == smallBody {
			conn.Write(answer(smallBody, true))
			return
		}
		if err := sendBulk(conn, size, last); err != nil || last {
			return
		}
	}
}

// readHead reads a request without a body; tells its path and whether the client wants no other.
func readHead(reader *bufio.Reader) (path string, last bool, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return "", false, err
	}
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return "", false, errors.New("no request line")
	}
	path = string(fields[1])
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return "", false, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return path, last, nil
		}
		if len(line) > 17 && bytes.EqualFold(line[:17], []byte("connection: close")) {
			last = true
		}
	}
}

func sizeOf(path string) (int, error) {
	if path == "/" {
		return smallBody, nil
	}
	if len(path) < 7 || path[:6] != "/bulk/" {
		return 0, errors.New("no such path")
	}
	return strconv.Atoi(path[6:])
}

func headOf(size int, last bool) string {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(size)
	if last {
		head += "\r\nConnection: close"
	}
	return head + "\r\n\r\n"
}

func answer(size int, last bool) []byte {
	return append([]byte(headOf(size, last)), zeros[:size]...)
}

func sendBulk(conn net.Conn, size int, last bool) error {
	if _, err := io.WriteString(conn, headOf(size, last)); err != nil {
		return err
	}
	for size > 0 {
		n, err := conn.Write(zeros[:min(size, len(zeros))])
		if err != nil {
			return err
		}
		size -= n
	}
	return nil
}
