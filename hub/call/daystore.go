package call

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"raccordo/hub/store"
)

// daysKept is how many past days' counts stay in the table, for whoever wonders.
const daysKept = 30

// daySteps make the table of this room. A row is how much one instance has used for one purpose on one day.
func daySteps() []string {
	return []string{
		`CREATE TABLE call_day (day TEXT NOT NULL, key TEXT NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (day, key)) STRICT, WITHOUT ROWID`,
	}
}

// NewDayStore is a DayStore over the hub's database, whose table it brings up to date.
func NewDayStore(ctx context.Context, s *store.Store) (DayStore, error) {
	if err := s.Migrate(ctx, "call", daySteps()); err != nil {
		return nil, err
	}
	return dayStore{s}, nil
}

type dayStore struct{ store *store.Store }

// Claim is flushed to disk: a power cut must not make the supplier's day begin anew.
func (d dayStore) Claim(ctx context.Context, key, day string, n, limit int64) (got int64, err error) {
	err = d.store.Write(ctx, store.Start, func(tx *store.Tx) error {
		got = 0
		var used int64
		if err := tx.QueryRow("SELECT used FROM call_day WHERE day = ? AND key = ?", day, key).Scan(&used); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read daily count: %w", err)
		}
		grant := max(0, min(n, limit-used))
		if grant == 0 {
			return nil
		}
		if used == 0 {
			if err := forget(tx, day); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("INSERT INTO call_day (day, key, used) VALUES (?, ?, ?) ON CONFLICT (day, key) DO UPDATE SET used = used + excluded.used",
			day, key, grant); err != nil {
			return fmt.Errorf("write daily count: %w", err)
		}
		tx.Flush()
		got = grant
		return nil
	})
	if err != nil {
		return 0, err
	}
	return got, nil
}

// forget drops the counts of days long past.
func forget(tx *store.Tx, day string) error {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return fmt.Errorf("daily count: %w", err)
	}
	if _, err := tx.Exec("DELETE FROM call_day WHERE day < ?", t.AddDate(0, 0, -daysKept).Format(time.DateOnly)); err != nil {
		return fmt.Errorf("forget daily counts: %w", err)
	}
	return nil
}

func (d dayStore) Return(ctx context.Context, key, day string, n int64) error {
	return d.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if _, err := tx.Exec("UPDATE call_day SET used = max(0, used - ?) WHERE day = ? AND key = ?", n, day, key); err != nil {
			return fmt.Errorf("return daily count: %w", err)
		}
		return nil
	})
}
