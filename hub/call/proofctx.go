package call

import (
	"context"
	"sync"
	"time"
)

// A proofContext has the values of the call's context, but neither its end nor its deadline: what was done is to be
// written down though the caller has left. It is context.WithTimeout(context.WithoutCancel(ctx), proofTime), except that
// it costs nothing until somebody waits for its end; a Recorder passes one for every call.
type proofContext struct {
	context.Context // for Value
	deadline        time.Time

	mu    sync.Mutex
	done  chan struct{}
	timer *time.Timer
	err   error
}

func (p *proofContext) Deadline() (time.Time, bool) { return p.deadline, true }

func (p *proofContext) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		if p.err != nil {
			close(p.done)
		} else {
			p.timer = time.AfterFunc(time.Until(p.deadline), func() { p.end(context.DeadlineExceeded) })
		}
	}
	return p.done
}

func (p *proofContext) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.done == nil && !time.Now().Before(p.deadline) {
		p.err = context.DeadlineExceeded
	}
	return p.err
}

// end is the end; the first one counts.
func (p *proofContext) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.done != nil {
		select {
		case <-p.done:
		default:
			close(p.done)
		}
	}
}
