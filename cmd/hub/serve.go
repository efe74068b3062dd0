package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/hub"
)

type serveCmd struct {
	File      string        `arg:"" help:"Configuration file."`
	Recovered bool          `help:"Start a restored store: nothing with effect leaves before its ticket is settled by reading."`
	JSONLog   bool          `name:"log-json" help:"Write the log as JSON lines."`
	Verbose   bool          `short:"v" help:"Log every attempt."`
	Drain     time.Duration `default:"8s" help:"How long a shutdown waits for what is in flight."`
}

func (c serveCmd) Run(s *session) (err error) {
	cfg, err := hub.Load(c.File, adapters.Kinds())
	if err != nil {
		return err
	}
	handler := c.handler(s.errOut)
	log := slog.New(handler)
	for _, w := range cfg.Warnings {
		log.Warn("configuration: worth a look", "file", w.File, "line", w.Line, "path", w.Path, "why", w.Text)
	}
	h, err := hub.Open(s.ctx, cfg, adapters.Kinds(), hub.Options{Log: log, Recovered: c.Recovered, Anchor: anchorMessage})
	if err != nil {
		if s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // told to stop before it served: nothing was begun
		}
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), c.Drain)
		defer cancel()
		err = errors.Join(err, h.Close(ctx))
	}()
	routes, err := h.Handler()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(s.ctx, "tcp", cfg.Listen.Address)
	if err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	defer func() { _ = listener.Close() }() // again: whoever serves on it closes it too
	srv := &http.Server{
		Handler: routes, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		WriteTimeout:   cfg.API.MaxWait + 30*time.Second, // a call may be kept waiting that long
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(handler, slog.LevelDebug),
	}
	tls, err := cfg.Listen.TLS(s.ctx, h)
	if err != nil {
		return err
	}
	scheme := "http"
	if tls != nil {
		srv.TLSConfig, scheme = tls, "https"
	}
	operators, err := h.ListenOperators()
	if err != nil {
		return err
	}
	defer func() { _ = operators.Close() }() // as above
	var metrics net.Listener
	if cfg.Metrics.Address != "" {
		if metrics, err = lc.Listen(s.ctx, "tcp", cfg.Metrics.Address); err != nil {
			return fmt.Errorf("metrics.address: %w", err)
		}
		defer func() { _ = metrics.Close() }() // as above
		fmt.Fprintf(s.out, "hub: metrics on http://%s/metrics\n", metrics.Addr())
	}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	part := func(name string, run func() error) {
		wg.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				mu.Unlock()
			}
			stop() // no part serves without the others
		})
	}
	part("work", func() error { return h.Work(ctx) })
	part("operators", func() error { return h.ServeOperators(ctx, operators) })
	if metrics != nil {
		part("metrics", func() error { return h.ServeMetrics(ctx, metrics) })
	}
	part("api", func() error {
		if tls != nil {
			return srv.ServeTLS(listener, "", "")
		}
		return srv.Serve(listener)
	})
	// Whoever started the hub reads this line to know that, and where, it serves.
	fmt.Fprintf(s.out, "hub: serving on %s://%s\n", scheme, listener.Addr())
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Drain)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // callers that outstay the drain are cut off; their tickets stay
	}
	wg.Wait()
	return errors.Join(errs...)
}

// handler is the log's: no composite passes it but masked.
func (c serveCmd) handler(w io.Writer) slog.Handler {
	opt := &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: contracts.MaskAttr}
	if c.Verbose {
		opt.Level = slog.LevelDebug
	}
	if c.JSONLog {
		return slog.NewJSONHandler(w, opt)
	}
	return slog.NewTextHandler(w, opt)
}
