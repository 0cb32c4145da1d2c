// HTTP/1.1 over sockets that block: what a worker on a thread of its own does.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const timeout = 20 * time.Second

// socket is a connection that blocks. A blocking read on it times out.
type socket int

func dial(to string) (socket, error) {
	address, err := netip.ParseAddrPort(to)
	if err != nil {
		return -1, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := syscall.NsecToTimeval(int64(timeout))
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit))
	if err == nil {
		err = connect(fd, &syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()})
	}
	if err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return socket(fd), nil
}

// connect goes on waiting after a signal of Go's scheduler, as Linux has it.
func connect(fd int, to syscall.Sockaddr) error {
	for {
		switch err := syscall.Connect(fd, to); err {
		case syscall.EINTR:
		case syscall.EISCONN:
			return nil
		default:
			return err
		}
	}
}

func (s socket) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(s), b)
		if err == syscall.EINTR {
			continue
		}
		if n == 0 && err == nil {
			return 0, io.EOF
		}
		return max(n, 0), err
	}
}

func (s socket) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := syscall.Write(int(s), b[done:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (s socket) Close() error { return syscall.Close(int(s)) }

func requestOf(path string, last bool) []byte {
	head := "GET " + path + " HTTP/1.1\r\nHost: api.bench\r\nUser-Agent: load\r\nAccept: */*"
	if last {
		head += "\r\nConnection: close"
	}
	return []byte(head + "\r\n\r\n")
}

// reader reads answers; its buffer is used again and again.
type reader struct {
	buffer []byte
}

// answer reads one answer to its end. onBytes may be nil.
func (r *reader) answer(from io.Reader, onBytes *atomic.Int64) error {
	if r.buffer == nil {
		r.buffer = make([]byte, 4096)
	}
	have := 0
	for {
		n, err := from.Read(r.buffer[have:])
		if err != nil {
			return fmt.Errorf("read of a head: %w", err)
		}
		have += n
		if end := bytes.Index(r.buffer[:have], []byte("\r\n\r\n")); end >= 0 {
			length, err := lengthOf(r.buffer[:end])
			if err != nil {
				return err
			}
			return r.rest(from, length-(have-end-4), onBytes)
		}
		if have == len(r.buffer) {
			return errors.New("a head without an end")
		}
	}
}

func (r *reader) rest(from io.Reader, left int, onBytes *atomic.Int64) error {
	if left > 1<<16 && len(r.buffer) < 1<<18 {
		r.buffer = make([]byte, 1<<18)
	}
	for left > 0 {
		n, err := from.Read(r.buffer[:min(left, len(r.buffer))])
		if err != nil {
			return fmt.Errorf("read of a body: %w", err)
		}
		left -= n
		if onBytes != nil {
			onBytes.Add(int64(n))
		}
	}
	if left < 0 {
		return errors.New("more than the stated length")
	}
	return nil
}

func lengthOf(head []byte) (int, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("answered %q", head[:min(len(head), 24)])
	}
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && bytes.EqualFold(name, []byte("content-length")) {
			return strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return 0, errors.New("an answer without a length")
}

// keepalive sends its request again and again over one connection.
type keepalive struct {
	to      string
	request []byte
	conn    socket
	open    bool
	reader  reader
}

func (k *keepalive) prepare() (err error) {
	if k.conn, err = dial(k.to); err != nil {
		return err
	}
	k.open = true
	// A small one, so that the connection stands from end to end.
	if _, err = k.conn.Write(requestOf("/", false)); err != nil {
		return err
	}
	return k.reader.answer(k.conn, nil)
}

func (k *keepalive) work() error {
	if _, err := k.conn.Write(k.request); err != nil {
		return err
	}
	return k.reader.answer(k.conn, nil)
}

func (k *keepalive) close() {
	if k.open {
		k.conn.Close()
		k.open = false
	}
}

// connecting opens a connection for each request. The server closes it first, as HTTP has it.
type connecting struct {
	to      string
	request []byte
	reader  reader
}

func (c *connecting) prepare() error { return nil }
func (c *connecting) close()         {}

func (c *connecting) work() error {
	conn, err := dial(c.to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(c.request); err != nil {
		return err
	}
	if err := c.reader.answer(conn, nil); err != nil {
		return err
	}
	if _, err := conn.Read(c.reader.buffer[:1]); err != io.EOF {
		return fmt.Errorf("no end after the answer: %w", err)
	}
	return nil
}

// startBulk transfers without end, beside what is measured.
func startBulk(to string, count *atomic.Int64) error {
	k := keepalive{to: to, request: requestOf("/bulk/"+strconv.Itoa(1<<40), false)}
	if err := k.prepare(); err != nil {
		return err
	}
	go func() {
		if _, err := k.conn.Write(k.request); err == nil {
			k.reader.answer(k.conn, count)
		}
	}()
	return nil
}

// sleepUntil is exact to some ten microseconds, which Go's own timers are not when nothing else goes on.
func sleepUntil(at time.Time) {
	for {
		left := time.Until(at)
		if left <= 0 {
			return
		}
		wait := syscall.NsecToTimespec(int64(left))
		syscall.Nanosleep(&wait, nil)
	}
}
