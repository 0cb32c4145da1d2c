// Both ends of the data-plane benchmark (bench/dataplane.ts): a back end and a load generator that cost as little as they can, so that
// what is measured is what stands between them.
package main

import (
	"errors"
	"log"
	"os"
)

const usage = `usage: load serve ADDRESS
       load run -to ADDRESS -shape NAME [flags]   (prints "ready", waits for a line, prints one line of JSON)
       load ready tcp ADDRESS | load ready http URL (prints the moment of the first success, in nanoseconds since 1970)`

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal(usage)
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(os.Args[2])
	case "run":
		err = run(os.Args[2:])
	case "ready":
		err = ready(os.Args[2:])
	default:
		err = errors.New(usage)
	}
	if err != nil {
		log.Fatal(err)
	}
}
