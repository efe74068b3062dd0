package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/mocks"
	"raccordo/mocks/lab"
)

// hubEnv makes this binary the hub itself, in a process of its own, which can be sent signals.
const hubEnv = "RACCORDO_TEST_HUB"

func TestMain(m *testing.M) {
	if os.Getenv(hubEnv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// hubRun runs the program here and gives what it printed and its exit status.
func hubRun(t testing.TB, in string, args ...string) (out, errOut string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(in), &o, &e)
	return o.String(), e.String(), status
}

// must is hubRun where the exit status must be the one given.
func must(t testing.TB, status int, in string, args ...string) (out, errOut string) {
	t.Helper()
	out, errOut, got := hubRun(t, in, args...)
	if got != status {
		t.Fatalf("hub %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out, errOut)
	}
	return out, errOut
}

// A stand is every mock, in real time, and a configuration that fits them.
type stand struct {
	bench *lab.Bench
	dir   string
	file  string
}

// newStand replaces text in the configuration: old, new, old, new …
func newStand(t testing.TB, replace ...string) *stand {
	t.Helper()
	clock := lab.RunningClock()
	t.Cleanup(clock.Close)
	bench, err := lab.New(lab.Options{Clock: clock, Seed: 1, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Errorf("bench: %v", err)
		}
	})
	if err := bench.Attach(mocks.All()...); err != nil {
		t.Fatal(err)
	}
	s := &stand{bench: bench, dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "hub.yaml")
	text, err := mocks.Hasty(bench, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	// The register that answers at once stands aside: calls are followed here that take their time.
	yaml := strings.Replace(string(text), "domicile: [registroimprese-pdnd, ", "domicile: [", 1)
	for i := 0; i+1 < len(replace); i += 2 {
		if !strings.Contains(yaml, replace[i]) {
			t.Fatalf("the configuration does not hold %q", replace[i])
		}
		yaml = strings.ReplaceAll(yaml, replace[i], replace[i+1])
	}
	if err := os.WriteFile(s.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// quick asks far sides every second.
var quick = []string{
	"collect_after: 5s", "collect_after: 0s\n  gather_for: 100ms", "poll_first: 5s", "poll_first: 1s", "poll: 5s", "poll: 1s",
	"listen:\n", "metrics: {address: \"127.0.0.1:0\"}\nlisten:\n",
}

func (s *stand) token(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "core.token"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A process is a hub that serves in a process of its own.
type process struct {
	cmd     *exec.Cmd
	url     string
	metrics string
	log     bytes.Buffer // whole once the process has ended
	ended   chan error
}

func (s *stand) serve(t testing.TB, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(context.Background(), self, append([]string{"serve", s.file}, args...)...)
	p.cmd.Env = append(os.Environ(), hubEnv+"=1")
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	ready := make(chan struct{})
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "hub: metrics on "); ok {
				p.metrics = at
			}
			if at, ok := strings.CutPrefix(lines.Text(), "hub: serving on "); ok {
				p.url = at
				close(ready)
			}
		}
	})
	go func() { reading.Wait(); p.ended <- p.cmd.Wait() }()
	select {
	case <-ready:
	case err := <-p.ended:
		t.Fatalf("serve: %v\n%s", err, p.log.String())
	case <-time.After(30 * time.Second):
		t.Fatal("the hub does not say that it serves")
	}
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop sends SIGTERM and gives how long the process took to end; it must end well.
func (p *process) stop(t testing.TB) time.Duration {
	t.Helper()
	if p.ended == nil {
		return 0
	}
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("serve ended with %v\n%s", err, p.log.String())
		}
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		t.Errorf("serve does not end: %v", <-p.ended)
	}
	p.ended = nil
	return time.Since(begun)
}
