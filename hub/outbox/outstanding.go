package outbox

import (
	"context"
	"fmt"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// schema3 finds the tickets that wait for an event at an instance.
const schema3 = `
CREATE INDEX outbox_ticket_outstanding ON outbox_ticket (at, id) WHERE state IN ('waiting', 'uncertain');
`

const (
	selectOutstanding = `SELECT ` + columns + ` FROM outbox_ticket
		WHERE state IN ('waiting', 'uncertain') AND at = ? AND id > ? ORDER BY id LIMIT ?`
	maxOutstanding = 1000
)

// Outstanding lists the tickets that an instance has carried out, or may have, and whose end is still to come (waiting and
// uncertain), with the answer so far in Detail: behind the id after, in the order of their ids, max at most (1000 is the
// most). A page costs what is on it, however many tickets there are.
func (b *Box) Outstanding(ctx context.Context, instance, after string, max int) (page []contracts.Ticket, err error) {
	if max <= 0 || max > maxOutstanding {
		max = maxOutstanding
	}
	err = b.store.Read(ctx, func(v *store.View) error {
		page = nil
		rows, err := v.Query(selectOutstanding, instance, after, max)
		if err != nil {
			return fmt.Errorf("list outstanding tickets: %w", err)
		}
		defer rows.Close()
		var found []*row
		for rows.Next() {
			r, err := scan(rows)
			if err != nil {
				return fmt.Errorf("list outstanding tickets: %w", err)
			}
			found = append(found, r)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("list outstanding tickets: %w", err)
		}
		for _, r := range found {
			t, err := b.show(v, r)
			if err != nil { // one that cannot be opened must not hide the others
				b.log.Warn("outbox: a ticket cannot be read", "ticket", r.id, "error", err)
				if t, err = b.ticket(v, r, contracts.Caller{}, nil); err != nil {
					return err
				}
			}
			page = append(page, t)
		}
		return nil
	})
	return page, err
}
