package lab

import (
	"bytes"
	"fmt"
	"testing"
)

func TestJournalIsBoundedAndItsCountsAreNot(t *testing.T) {
	t.Parallel()
	b, err := New(Options{Clock: NewClock(dawn), JournalLines: 100, JournalBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const n = 250
	for i := range n {
		o := b.Begin("toy", "POST /x")
		o.Record("200", bytes.Repeat([]byte("q"), 30), bytes.Repeat([]byte("a"), 20), i, "")
		o.End()
		o.End()
	}
	lines := b.Journal()
	if len(lines) > 100 || len(lines)+b.Dropped() != n {
		t.Errorf("%d lines kept and %d dropped, of %d", len(lines), b.Dropped(), n)
	}
	if last := lines[len(lines)-1]; last.N != n || last.Parsed != n-1 || last.Request == nil {
		t.Errorf("the newest line was not kept whole: %d", last.N)
	}
	if lines[0].Request != nil {
		t.Error("the oldest raw bytes did not go first")
	}
	raw := 0
	for _, e := range lines {
		raw += len(e.Request) + len(e.Response)
	}
	if raw > 1000 {
		t.Errorf("%d raw bytes kept", raw)
	}
	if b.Sent("toy *") != n {
		t.Errorf("Sent counts %d, want %d: what was dropped still was sent", b.Sent("toy *"), n)
	}
	if b.InFlight() != 0 {
		t.Errorf("%d in flight after a double End", b.InFlight())
	}
}

func TestJournalKeepsAtMostAMebibyteOfOneMessageAndACopyOfIt(t *testing.T) {
	t.Parallel()
	b := Start(t)
	raw := bytes.Repeat([]byte("x"), rawLimit+1)
	o := b.Begin("toy", "POST /x")
	o.Record("200", raw, nil, nil, "")
	o.End()
	raw[0] = 'y'
	if got := b.Journal()[0].Request; len(got) != rawLimit || got[0] != 'x' {
		t.Errorf("%d bytes, beginning with %q", len(got), got[0])
	}
}

func TestLabelsCountedApartAreBounded(t *testing.T) {
	t.Parallel()
	b := Start(t)
	for i := range labelLimit + 10 {
		o := b.Begin("toy", fmt.Sprint(i))
		o.Record("200", nil, nil, nil, "")
		o.End()
	}
	if n := b.Sent("toy (other)"); n != 10 {
		t.Errorf("%d counted under (other), want 10", n)
	}
	if n := b.Sent("toy *"); n != labelLimit+10 {
		t.Errorf("%d counted in all", n)
	}
}
