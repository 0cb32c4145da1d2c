// The load generator. Every connection has a thread of its own that blocks in the kernel: no event loop's timer is between the moment at
// which a request is due and its first byte. At a fixed rate the time of a request counts from the moment at which it was due, whether or
// not an earlier one held it up (coordinated omission).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// settings of one run.
type settings struct {
	to          string
	shape       string
	connections int
	rate        float64
	seconds     float64
	units       int64
	body        int
	beside      bool
	tls         tlsFiles
}

// result is printed. Times are microseconds.
type result struct {
	Done      int     `json:"done"`
	Errors    int     `json:"errors"`
	Error     string  `json:"error,omitempty"`
	Seconds   float64 `json:"seconds"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`
	BulkBytes int64   `json:"bulkBytes"`
}

// worker does one unit of work again and again.
type worker interface {
	// prepare is not measured.
	prepare() error
	work() error
	close()
}

func run(args []string) error {
	var s settings
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&s.to, "to", "", "address")
	flags.StringVar(&s.shape, "shape", "keepalive", "keepalive, connect, bulk, streams, handshake or idle")
	flags.IntVar(&s.connections, "connections", 32, "connections at once")
	flags.Float64Var(&s.rate, "rate", 0, "units per second; 0 = as many as possible")
	flags.Float64Var(&s.seconds, "seconds", 1, "length")
	flags.Int64Var(&s.units, "units", 0, "no more than these in all")
	flags.IntVar(&s.body, "body", 10<<20, "bytes of a bulk body")
	flags.BoolVar(&s.beside, "beside", false, "one connection more that transfers without end")
	flags.StringVar(&s.tls.folder, "tls", "", "folder with tls.crt, tls.key, ca.crt")
	flags.StringVar(&s.tls.name, "name", "", "server name")
	if err := flags.Parse(args); err != nil {
		return err
	}
	workers, err := prepared(s)
	if err != nil {
		return err
	}
	var bulk atomic.Int64
	if s.beside {
		if err := startBulk(s.to, &bulk); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil || s.shape == "idle" {
		return nil
	}
	before := bulk.Load()
	out := measure(s, workers)
	out.BulkBytes = bulk.Load() - before
	return json.NewEncoder(os.Stdout).Encode(out)
}

func prepared(s settings) ([]worker, error) {
	workers := make([]worker, s.connections)
	for i := range workers {
		w, err := newWorker(s)
		if err != nil {
			return nil, err
		}
		workers[i] = w
	}
	// Not all at once: a thousand clients that start in one moment are another test.
	slots := make(chan struct{}, 16)
	errs := make(chan error, len(workers))
	for _, w := range workers {
		slots <- struct{}{}
		go func() {
			errs <- w.prepare()
			<-slots
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	return workers, nil
}

func newWorker(s settings) (worker, error) {
	switch s.shape {
	case "keepalive", "idle":
		return &keepalive{to: s.to, request: requestOf("/", false)}, nil
	case "bulk":
		return &keepalive{to: s.to, request: requestOf(fmt.Sprintf("/bulk/%d", s.body), false)}, nil
	case "connect":
		return &connecting{to: s.to, request: requestOf("/", true)}, nil
	case "streams":
		return newStreams(s.to), nil
	case "handshake":
		return newHandshaking(s.to, s.tls)
	}
	return nil, fmt.Errorf("no such shape: %s", s.shape)
}

// measure runs the workers and sums up.
func measure(s settings, workers []worker) result {
	var next atomic.Int64
	var mu sync.Mutex
	var all []int64
	var out result
	begun := time.Now()
	end := begun.Add(time.Duration(s.seconds * float64(time.Second)))
	// Who cannot keep the rate up is not waited for without end.
	latest := begun.Add(time.Duration(3 * s.seconds * float64(time.Second)))
	due := func() (time.Time, bool) {
		if s.units > 0 {
			now := time.Now()
			return now, next.Add(1) <= s.units && now.Before(end)
		}
		if s.rate == 0 {
			now := time.Now()
			return now, now.Before(end)
		}
		at := begun.Add(time.Duration(float64(next.Add(1)-1) / s.rate * float64(time.Second)))
		return at, at.Before(end) && time.Now().Before(latest)
	}
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() {
			times, failed, cause := repeat(w, due)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			out.Errors += failed
			if cause != nil && out.Error == "" {
				out.Error = cause.Error()
			}
		})
	}
	group.Wait()
	out.Seconds = time.Since(begun).Seconds()
	slices.Sort(all)
	out.Done = len(all)
	out.P50, out.P99, out.P999 = quantile(all, 0.5), quantile(all, 0.99), quantile(all, 0.999)
	return out
}

// maxFailures ends a worker: a contestant that is down must not keep it spinning.
const maxFailures = 100

func repeat(w worker, due func() (time.Time, bool)) (times []int64, failed int, cause error) {
	defer w.close()
	for failed < maxFailures {
		at, more := due()
		if !more {
			break
		}
		sleepUntil(at)
		if err := w.work(); err != nil {
			failed++
			cause = err
			w.close()
			if err := w.prepare(); err != nil {
				break
			}
			continue
		}
		times = append(times, int64(time.Since(at)))
	}
	return times, failed, cause
}

func quantile(sorted []int64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]) / 1000
}
