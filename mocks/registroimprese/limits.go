package registroimprese

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
	_ "time/tzdata" // the day and the night are Italian, on machines without a zone file too

	"raccordo/mocks/lab"
)

var rome = mustLoad("Europe/Rome")

func mustLoad(zone string) *time.Location {
	l, err := time.LoadLocation(zone)
	if err != nil {
		panic("registroimprese: " + err.Error()) // the zones are compiled in
	}
	return l
}

// A meter counts calls in windows, by name.
type meter struct {
	mu      sync.Mutex
	windows map[string]window
}

type window struct {
	until time.Time
	used  int
}

// take counts one call in the window that ends at until; left is negative when the call is beyond limit.
func (c *meter) take(name string, until time.Time, limit int) (left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.windows == nil {
		c.windows = map[string]window{}
	}
	w := c.windows[name]
	if !w.until.Equal(until) {
		w = window{until: until}
	}
	if w.used <= limit {
		w.used++
	}
	c.windows[name] = w
	return limit - w.used
}

func minuteEnds(now time.Time) time.Time { return now.Truncate(time.Minute).Add(time.Minute) }

func dayEnds(now time.Time) time.Time {
	y, m, d := now.In(rome).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, rome)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// asleep tells whether the gateway is in maintenance.
func (m *Mock) asleep() bool {
	hour := m.bench.Clock().Now().In(rome).Hour()
	return m.Settings().Night && (hour >= 21 || hour < 8)
}

// limited lets a call pass that its service's quotas still hold; what is beyond them the gateway itself refuses, in its
// own words.
func (m *Mock) limited(app string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, now := m.Settings(), m.bench.Clock().Now()
		for _, q := range []struct {
			rule  string
			limit int
			until time.Time
		}{
			{"quota: the minute's is used up", s.PerMinute, minuteEnds(now)},
			{"quota: the day's is used up", s.PerDay, dayEnds(now)},
		} {
			if q.limit <= 0 || m.quota.take(app+" "+q.rule, q.until, q.limit) >= 0 {
				continue
			}
			lab.Refused(r.Context(), q.rule)
			w.Header().Set("X-Lab-Reason", q.rule)
			if !s.BareThrottle {
				w.Header().Set("Retry-After", seconds(q.until.Sub(now)))
			}
			m.Answer(w, http.StatusTooManyRequests, map[string]string{
				"httpCode": "429", "httpMessage": "Too Many Requests", "moreInformation": "Rate Limit exceeded",
			})
			return
		}
		next(w, r)
	}
}

// granted counts the calls on PDND and tells every caller what is left, by AgID's guidelines.
func (m *Mock) granted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, now := m.Settings().Granted, m.bench.Clock().Now()
		until := minuteEnds(now)
		left := m.quota.take("pdnd", until, limit)
		h := w.Header()
		h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(max(left, 0)))
		h.Set("X-RateLimit-Reset", seconds(until.Sub(now)))
		if left < 0 {
			h.Set("Retry-After", seconds(until.Sub(now)))
			refuse(w, r, http.StatusTooManyRequests, "Troppe richieste", "quota: the minute's is used up")
			return
		}
		next.ServeHTTP(w, r)
	})
}
