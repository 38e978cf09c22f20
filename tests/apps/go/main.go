// Parcels answers with a label, and lets requests under way finish when it is told to stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"example.com/labels"
)

const version = 1

func main() {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	http.HandleFunc("GET /{$}", hello)
	http.HandleFunc("GET /slow", slow)
	server := &http.Server{Addr: ":" + os.Getenv("PORT"), ReadHeaderTimeout: 10 * time.Second}
	finished := make(chan error)
	go func() {
		<-told.Done()
		finished <- server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-finished; err != nil {
		log.Fatal(err)
	}
}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "Hello from Go, version %d: %s (%s)\n", version, labels.Parcel(7), runtime.Version())
}

func slow(w http.ResponseWriter, r *http.Request) {
	wait, err := time.ParseDuration(r.URL.Query().Get("seconds") + "s")
	if err != nil {
		http.Error(w, "seconds is a number", http.StatusBadRequest)
		return
	}
	time.Sleep(wait)
	fmt.Fprintln(w, "slow, but whole")
}
