package wire

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raccordo/contracts"
)

const (
	firstWait = 50 * time.Millisecond // upper bound of the first wait; doubles
	mostAfter = 7 * 24 * time.Hour    // no peer is believed beyond a week
)

// checkRetry and backoff are retryablehttp's two questions; the attempt knows both answers.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err != nil {
		return false, nil
	}
	return resp.Body.(*attempt).again(ctx), nil
}

func backoff(_, _ time.Duration, _ int, resp *http.Response) time.Duration {
	return resp.Body.(*attempt).wait
}

// again decides whether another attempt follows, after which wait, and charges the budget for it.
func (a *attempt) again(ctx context.Context) bool {
	k := a.call
	if a.denied != nil || ctx.Err() != nil || k.tries >= k.client.cfg.Attempts || !a.repeatable() {
		return false
	}
	wait := jitter(k.tries)
	if a.resp != nil {
		if after, ok := After(a.resp.Header, k.client.clock.Now()); ok {
			if after > k.client.cfg.RetryAfterMax {
				return false // goes back to whoever holds the call, as After
			}
			wait = after
		}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if !k.client.budget.take() {
		return false
	}
	a.wait = wait
	return true
}

// repeatable is the rule by Effect, and nothing else.
func (a *attempt) repeatable() bool {
	if a.resp == nil {
		if a.fault.final {
			return false
		}
		return !a.wrote.Load() || a.call.effect != contracts.Once
	}
	if a.call.effect == contracts.Once || (a.call.req.Answered != nil && a.call.req.Answered(a.resp)) {
		return false
	}
	switch a.resp.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// jitter is full jitter: anything up to a bound that doubles with each try.
func jitter(tries int) time.Duration {
	bound := firstWait << min(tries-1, 10)
	return rand.N(min(bound, longestWait) + 1)
}

// After reads how long a peer asks us to stay away: Retry-After in both forms (RFC 9110, section 10.2.3), else ModI's
// X-RateLimit-Reset (seconds left; an epoch where it is beyond 10^9), unless X-RateLimit-Remaining says that places are
// left: some gateways send Reset alone, and with a 429 only. Past instants are zero; no peer is believed beyond a week.
func After(h http.Header, now time.Time) (time.Duration, bool) {
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if after, ok := seconds(v); ok {
			return after, true
		}
		if t, err := http.ParseTime(v); err == nil {
			return min(max(t.Sub(now), 0), mostAfter), true
		}
	}
	if v := quota(h.Get("X-RateLimit-Reset")); v != "" {
		if left := quota(h.Get("X-RateLimit-Remaining")); left != "" && left != "0" {
			return 0, false
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 1e9 {
			return min(max(time.Unix(min(n, 1<<40), 0).Sub(now), 0), mostAfter), true
		}
		return seconds(v)
	}
	return 0, false
}

// quota is the first value of a rate header, which may list the policies that it comes from: "100, 100;w=60".
func quota(v string) string {
	v, _, _ = strings.Cut(v, ",")
	v, _, _ = strings.Cut(v, ";")
	return strings.TrimSpace(v)
}

func seconds(v string) (time.Duration, bool) {
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, uint64(mostAfter/time.Second))) * time.Second, true
}
