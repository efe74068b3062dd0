package call

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"raccordo/contracts"
)

// Limits on what a caller says about itself: these texts end up in entries, logs and suppliers' headers.
const (
	maxCallerField = 128  // bytes of each field of Caller, and of At
	maxKey         = 128  // bytes of an idempotency key
	maxServices    = 1024 // services that Admission counts one by one
	placeAfter     = time.Second
)

// Refusals is how often Admission refused one service within one minute, by reason.
type Refusals struct {
	Minute    time.Time // its beginning
	Service   string    // empty: calls that named none, and those of services beyond the first 1,024
	Invalid   int
	Denied    int
	Throttled int
}

// Admission decides who may ask at all, before anything is written or sent. It is safe for concurrent use.
type Admission struct {
	cfg   AdmitConfig
	clock contracts.Clock

	mu       sync.Mutex
	services map[string]*service
	refused  map[minuteService]*Refusals
}

type service struct {
	limits   CallerLimits
	bucket   *rate.Limiter // nil: no rate
	inFlight int           // under Admission.mu
}

type minuteService struct {
	minute  int64
	service string
}

// NewAdmission makes an Admission; cfg must be valid.
func NewAdmission(cfg AdmitConfig, clock contracts.Clock) *Admission {
	return &Admission{
		cfg: cfg, clock: clock,
		services: map[string]*service{},
		refused:  map[minuteService]*Refusals{},
	}
}

// Stage refuses, before anything is written or sent: calls without service or purpose (Denied), without an idempotency
// key unless they read, with a request that finds fault with itself (Invalid), and beyond the service's places or rate
// (Throttled, with After). A context without a deadline gets the default budget.
func (a *Admission) Stage(next Func) Func {
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		if err := a.check(c); err != nil {
			a.count(c, err)
			return nil, err
		}
		s, err := a.enter(c)
		if err != nil {
			a.count(c, err)
			return nil, err
		}
		defer a.leave(s)
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, a.cfg.Budget)
			defer cancel()
		}
		return next(ctx, c)
	}
}

// Summed takes out what was refused in minutes that are over; with all, in the present one too. Whoever runs the hub
// asks once a minute and at the end, and writes one entry each.
func (a *Admission) Summed(all bool) []Refusals {
	present := a.clock.Now().Unix() / 60
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Refusals
	for k, r := range a.refused {
		if all || k.minute != present {
			out = append(out, *r)
			delete(a.refused, k)
		}
	}
	slices.SortFunc(out, func(x, y Refusals) int {
		return cmp.Or(x.Minute.Compare(y.Minute), cmp.Compare(x.Service, y.Service))
	})
	return out
}

// InFlight is how many calls each service has in flight; services with none are left out.
func (a *Admission) InFlight() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]int{}
	for name, s := range a.services {
		if s.inFlight > 0 {
			out[name] = s.inFlight
		}
	}
	return out
}

func (a *Admission) check(c *contracts.Call) error {
	if c.Op == nil {
		return refuse(contracts.Invalid, hub, c, 0, "no operation")
	}
	who := &c.Caller
	switch {
	case who.Service == "":
		return refuse(contracts.Denied, hub, c, 0, "no calling service: put a caller in the context")
	case who.Purpose == "":
		return refuse(contracts.Denied, hub, c, 0, "no purpose: say what the answer is for")
	case c.Op.Effect != contracts.Read && c.Key == "":
		return refuse(contracts.Invalid, hub, c, 0, "no idempotency key, and the operation has effects")
	}
	for _, f := range [...]struct {
		name, text string
		max        int
	}{
		{"service", who.Service, maxCallerField},
		{"purpose", who.Purpose, maxCallerField},
		{"user", who.User, maxCallerField},
		{"case", who.Case, maxCallerField},
		{"site", who.Site, maxCallerField},
		{"ip", who.IP, maxCallerField},
		{"loa", who.LoA, maxCallerField},
		{"at", c.At, maxCallerField},
		{"key", c.Key, maxKey},
	} {
		if !plain(f.text, f.max) {
			return refuse(contracts.Invalid, hub, c, 0, "%s: want at most %d bytes of printable ASCII", f.name, f.max)
		}
	}
	for _, f := range [...]string{who.User, who.Case, c.Key} {
		if len(f) != 16 {
			continue
		}
		if code, err := contracts.ParseCodiceFiscale(f); err == nil && code.Person() {
			return refuse(contracts.Invalid, hub, c, 0, "user, case or key is a codice fiscale: give a pseudonym")
		}
	}
	if t := c.Op.RequestType; t != nil && reflect.TypeOf(c.Request) != t {
		return refuse(contracts.Invalid, hub, c, 0, "request is a %T, want %s", c.Request, t)
	}
	if v, ok := c.Request.(contracts.Validator); ok {
		if err := v.Validate(); err != nil {
			return refuse(contracts.Invalid, hub, c, 0, "request: %w", err)
		}
	}
	return nil
}

// plain reports whether s is at most limit bytes of printable ASCII.
func plain(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (a *Admission) enter(c *contracts.Call) (*service, error) {
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.services[c.Caller.Service]
	if s == nil {
		if s = a.add(c.Caller.Service); s == nil {
			return nil, refuse(contracts.Throttled, hub, c, placeAfter, "more than %d services at once", maxServices)
		}
	}
	if s.limits.Places > 0 && s.inFlight >= s.limits.Places {
		return nil, refuse(contracts.Throttled, hub, c, placeAfter, "all %d places of this caller are taken", s.limits.Places)
	}
	if s.bucket != nil && !s.bucket.AllowN(now, 1) {
		return nil, refuse(contracts.Throttled, hub, c, turn(s.bucket, now), "more than %g calls a second by this caller", s.limits.PerSecond)
	}
	s.inFlight++
	return s, nil
}

// turn is how long until the bucket has a token, without taking it.
func turn(bucket *rate.Limiter, now time.Time) time.Duration {
	r := bucket.ReserveN(now, 1)
	defer r.CancelAt(now)
	return r.DelayFrom(now)
}

// add makes room for a service and puts it in; nil when all the others are busy.
func (a *Admission) add(name string) *service {
	if len(a.services) >= maxServices {
		for other, s := range a.services {
			if s.inFlight == 0 {
				delete(a.services, other)
			}
		}
		if len(a.services) >= maxServices {
			return nil
		}
	}
	limits, ok := a.cfg.Callers[name]
	if !ok {
		limits = a.cfg.Others
	}
	s := &service{limits: limits, bucket: bucketOf(limits.PerSecond, limits.Burst)}
	a.services[name] = s
	return s
}

func bucketOf(perSecond float64, burst int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

func (a *Admission) leave(s *service) {
	a.mu.Lock()
	s.inFlight--
	a.mu.Unlock()
}

func (a *Admission) count(c *contracts.Call, err error) {
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	k := minuteService{minute: now.Unix() / 60, service: c.Caller.Service}
	if !plain(k.service, maxCallerField) {
		k.service = ""
	}
	r := a.refused[k]
	if r == nil && len(a.refused) >= maxServices { // nobody takes them out: one more line for all that follows
		k = minuteService{}
		r = a.refused[k]
	}
	if r == nil {
		r = &Refusals{Minute: now.UTC().Truncate(time.Minute), Service: k.service}
		a.refused[k] = r
	}
	switch contracts.KindOf(err) {
	case contracts.Denied:
		r.Denied++
	case contracts.Throttled:
		r.Throttled++
	default:
		r.Invalid++
	}
}

// String is what the entry about it says.
func (r Refusals) String() string {
	return fmt.Sprintf("refused on admission: %d invalid, %d denied, %d throttled", r.Invalid, r.Denied, r.Throttled)
}
