package archive

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// The data class of archive_proof.data is personal, sealed for its digest. Rows lie in the order in which they came, so
// that keeping many writes pages one after the other; only the digests are in an index.
const schema1 = `
CREATE TABLE archive_proof (
	n    INTEGER PRIMARY KEY,
	sum  BLOB NOT NULL UNIQUE,
	data BLOB NOT NULL
);
`

const (
	inRow    = "archive_proof"
	walkPage = 500
)

// Ready seals bytes and gives the function that keeps them in a transaction: they are there when it has committed, and
// not before. The same bytes again are kept once. More than contracts.MaxRaw bytes, which a commit must not be burdened
// with, go to a file at once and are on the disk when Ready returns. Call it outside of the transaction; keep may run
// more than once.
func (a *Archive) Ready(ctx context.Context, raw []byte) (sum contracts.Sum, keep func(*store.Tx) error, err error) {
	if len(raw) > contracts.MaxRaw {
		sum, err = a.Keep(ctx, bytes.NewReader(raw), int64(len(raw)))
		return sum, func(*store.Tx) error { return nil }, err
	}
	sum = contracts.SumOf(raw)
	sealed, err := a.store.Seal(inRow, sum.String(), raw)
	if err != nil {
		return sum, nil, err
	}
	if sealed == nil {
		sealed = []byte{} // of nothing; no NULL
	}
	return sum, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO archive_proof (sum, data) VALUES (?, ?) ON CONFLICT (sum) DO NOTHING`, sum[:], sealed); err != nil {
			return fmt.Errorf("archive: keep: %w", err)
		}
		return nil
	}, nil
}

// openRow gives the bytes of a proof in the table. It is small enough to be checked before a byte of it is given away.
func (a *Archive) openRow(sum contracts.Sum) (r io.ReadCloser, known bool, err error) {
	sealed, known, err := a.row(context.Background(), sum) // the store bounds it
	if err != nil || !known {
		return nil, known, err
	}
	plain, err := a.unsealRow(sum, sealed)
	if err != nil {
		return nil, true, err
	}
	return io.NopCloser(bytes.NewReader(plain)), true, nil
}

func (a *Archive) row(ctx context.Context, sum contracts.Sum) (sealed []byte, known bool, err error) {
	err = a.store.Read(ctx, func(v *store.View) error {
		err := v.QueryRow(`SELECT data FROM archive_proof WHERE sum = ?`, sum[:]).Scan(&sealed)
		known = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return sealed, known, err
}

func (a *Archive) unsealRow(sum contracts.Sum, sealed []byte) ([]byte, error) {
	plain, err := a.store.Unseal(inRow, sum.String(), sealed)
	if err != nil {
		return nil, contracts.Errorf(contracts.KindOf(err), "archive: read proof %s: %w", sum, err)
	}
	if contracts.SumOf(plain) != sum {
		return nil, contracts.Errorf(contracts.Internal, "archive: read proof %s: the row was changed: its bytes have another digest", sum)
	}
	return plain, nil
}

func (a *Archive) hasRow(sum contracts.Sum) bool {
	var n int
	err := a.store.Read(context.Background(), func(v *store.View) error { // the store bounds it
		return v.QueryRow(`SELECT count(*) FROM archive_proof WHERE sum = ?`, sum[:]).Scan(&n)
	})
	return err == nil && n > 0
}

// eraseRow deletes a row. The database is opened with secure_delete, so the pages are overwritten and not only let go of;
// a copy in the write-ahead log lasts until that is written over, at the latest until the store is closed, and is sealed.
func (a *Archive) eraseRow(ctx context.Context, sum contracts.Sum) error {
	return a.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		if _, err := tx.Exec(`DELETE FROM archive_proof WHERE sum = ?`, sum[:]); err != nil {
			return fmt.Errorf("archive: erase proof: %w", err)
		}
		return nil
	})
}

// rewrapRow seals a row again, if there is one.
func (a *Archive) rewrapRow(ctx context.Context, sum contracts.Sum) (known bool, err error) {
	old, known, err := a.row(ctx, sum)
	if err != nil || !known {
		return false, err
	}
	plain, err := a.unsealRow(sum, old)
	if err != nil || len(plain) == 0 {
		return true, err
	}
	fresh, err := a.store.Seal(inRow, sum.String(), plain)
	if err != nil {
		return true, err
	}
	return true, a.store.Write(ctx, store.Start, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE archive_proof SET data = ? WHERE sum = ?`, fresh, sum[:]); err != nil {
			return fmt.Errorf("archive: rewrap proof: %w", err)
		}
		return nil
	})
}

func (a *Archive) walkRows(ctx context.Context, fn func(contracts.Sum) error) error {
	for after := int64(-1); ; {
		page, last, err := a.page(ctx, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		after = last
		for _, sum := range page {
			if err := ctx.Err(); err != nil {
				return contracts.AsError(err)
			}
			if err := fn(sum); err != nil {
				return err
			}
		}
	}
}

func (a *Archive) page(ctx context.Context, after int64) (page []contracts.Sum, last int64, err error) {
	err = a.store.Read(ctx, func(v *store.View) error {
		page = nil
		rows, err := v.Query(`SELECT n, sum FROM archive_proof WHERE n > ? ORDER BY n LIMIT ?`, after, walkPage)
		if err != nil {
			return err
		}
		for rows.Next() {
			var raw []byte
			if err := rows.Scan(&last, &raw); err != nil {
				return err
			}
			if len(raw) != len(contracts.Sum{}) {
				return contracts.Errorf(contracts.Internal, "archive: walk: a row has an address that is no digest")
			}
			page = append(page, contracts.Sum(raw))
		}
		return rows.Err()
	})
	return page, last, err
}
