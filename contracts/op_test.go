package contracts_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"raccordo/contracts"
)

type place struct {
	Town string `json:"town"`
	Rank uint64 `json:"rank,omitempty"`
}

func (p place) Validate() error {
	if p.Town == "" {
		return errors.New("town: missing")
	}
	return nil
}

type answer struct {
	Size int `json:"size"`
}

// checkedByPointer has its Validate on the pointer, as a careless author writes it.
type checkedByPointer struct {
	Town string `json:"town"`
}

func (c *checkedByPointer) Validate() error { return errors.New("town: wrong") }

var opFind = contracts.NewOp[place, answer]("place.find", contracts.Read).InLane(func(p place) contracts.Lane {
	return contracts.Lane{Name: p.Town, Rule: contracts.Strict, Position: p.Rank}
})

func TestOpDecodesCallersStrictly(t *testing.T) {
	got, err := opFind.Request([]byte(`{"town":"Bari","rank":3}`))
	if err != nil || got != (place{"Bari", 3}) {
		t.Fatalf("%v, %v", got, err)
	}
	for name, bad := range map[string]string{"unknown key": `{"town":"Bari","x":1}`, "another case": `{"Town":"Bari"}`, "not valid": `{}`, "no JSON": `town`} {
		if _, err := opFind.Request([]byte(bad)); contracts.KindOf(orNil(err)) != contracts.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if _, err := contracts.NewOp[checkedByPointer, answer]("a.b", contracts.Read).Request([]byte(`{}`)); err == nil {
		t.Error("a request that is checked by a pointer's method passed unchecked")
	}
}

// orNil makes an error of nil, so that its Kind can be asked for.
func orNil(err error) error {
	if err == nil {
		return contracts.Internal
	}
	return err
}

func TestOpDecodesWhatIsStoredTolerantly(t *testing.T) {
	got, err := opFind.StoredRequest([]byte(`{"town":"","rank":3,"later":true}`))
	if err != nil || got != (place{"", 3}) {
		t.Errorf("a request of a later version, or of earlier rules: %v, %v", got, err)
	}
	if got, err := opFind.Response([]byte(`{"size":1,"later":true}`)); err != nil || got != (answer{1}) {
		t.Errorf("an answer of a newer hub: %v, %v", got, err)
	}
	if _, err := opFind.Response([]byte(`{`)); contracts.KindOf(orNil(err)) != contracts.Internal {
		t.Errorf("a broken row: %v, want internal", err)
	}
}

func TestOpKnowsItsTypesAndLane(t *testing.T) {
	if opFind.RequestType != reflect.TypeFor[place]() || opFind.ResponseType != reflect.TypeFor[answer]() {
		t.Error("the types are lost")
	}
	if l := opFind.LaneOf(place{"Bari", 7}); l != (contracts.Lane{Name: "Bari", Rule: contracts.Strict, Position: 7}) {
		t.Errorf("lane %v", l)
	}
	if l := contracts.NewOp[place, answer]("a.b", contracts.Read).LaneOf(place{}); l != (contracts.Lane{}) {
		t.Errorf("an operation without order is in lane %v", l)
	}
	for e, want := range map[contracts.Effect]string{contracts.Read: "read", contracts.Write: "write", contracts.Once: "once", 0: "effect(0)"} {
		if e.String() != want {
			t.Errorf("effect %d prints as %q", e, e)
		}
	}
	for r, want := range map[contracts.LaneRule]string{contracts.NoLane: "none", contracts.Keyed: "keyed", contracts.Strict: "strict", contracts.Pooled: "pooled"} {
		if r.String() != want {
			t.Errorf("lane rule %d prints as %q", r, r)
		}
	}
}

func TestBindTiesTypesToFunctions(t *testing.T) {
	ctx := t.Context()
	size := func(_ context.Context, p place) (answer, error) { return answer{len(p.Town)}, nil }
	b := contracts.Bind(opFind, size,
		contracts.Covers(opFind, func(p place) error {
			if p.Town == "Roma" {
				return contracts.NotFound
			}
			return nil
		}),
		contracts.Expected[place, answer](opFind, 5),
		contracts.Resolve(opFind, size))
	if b.Op != opFind.OpInfo || b.Expected != 5 || b.List != nil || b.Fold != nil {
		t.Error("the binding holds something else than was bound")
	}
	if got, err := b.Do(ctx, place{Town: "Bari"}); err != nil || got != (answer{4}) {
		t.Errorf("do: %v, %v", got, err)
	}
	if got, err := b.Resolve(ctx, place{Town: "Lecce"}); err != nil || got != (answer{5}) {
		t.Errorf("resolve: %v, %v", got, err)
	}
	if b.Covers(place{Town: "Bari"}) != nil || !errors.Is(b.Covers(place{Town: "Roma"}), contracts.NotFound) {
		t.Error("covers is not asked")
	}
	if contracts.Bind(opFind, nil).Do != nil {
		t.Error("a nil function must mean that there is only a list form")
	}
}

func TestAsListKeepsOrderAndCount(t *testing.T) {
	short := false
	b := contracts.Bind(opFind, nil, contracts.AsList(opFind, 2,
		func(_ context.Context, ps []place) ([]byte, error) { return []byte(ps[0].Town + ps[1].Town), nil },
		func(_ context.Context, handle []byte, ps []place) ([]contracts.Result[answer], error) {
			if string(handle) == "wait" {
				return nil, contracts.Errorf(contracts.Pending, "not ready")
			}
			if short {
				return []contracts.Result[answer]{{}}, nil
			}
			return []contracts.Result[answer]{{Value: answer{len(ps[0].Town)}}, {Err: io.EOF}}, nil
		}))
	reqs := []any{place{Town: "Bari"}, place{Town: "Lecce"}}
	handle, err := b.List.Start(t.Context(), reqs)
	if err != nil || string(handle) != "BariLecce" || b.List.Max != 2 {
		t.Fatalf("start: %q, %v", handle, err)
	}
	got, err := b.List.Collect(t.Context(), handle, reqs)
	if err != nil || got[0].Value != (answer{4}) || got[1].Err != io.EOF {
		t.Errorf("collect: %v, %v", got, err)
	}
	if _, err := b.List.Collect(t.Context(), []byte("wait"), reqs); contracts.KindOf(orNil(err)) != contracts.Pending {
		t.Errorf("collect too soon: %v", err)
	}
	short = true
	if _, err := b.List.Collect(t.Context(), handle, reqs); contracts.KindOf(orNil(err)) != contracts.Internal {
		t.Errorf("one answer to two requests: %v, want it refused: whose would it be?", err)
	}
}

func TestOnEventFolds(t *testing.T) {
	b := contracts.Bind(opFind, nil, contracts.OnEvent(opFind, func(p place, sofar answer, e contracts.Event) (answer, contracts.Move, error) {
		sofar.Size += len(e.Kind)
		return sofar, contracts.Move{To: contracts.StateWaiting}, nil
	}))
	first, move, err := b.Fold(place{}, nil, contracts.Event{Kind: "abc"})
	if err != nil || first != (answer{3}) || move.To != contracts.StateWaiting {
		t.Errorf("from nothing: %v, %v, %v", first, move, err)
	}
	if second, _, _ := b.Fold(place{}, first, contracts.Event{Kind: "de"}); second != (answer{5}) {
		t.Errorf("from the answer so far: %v", second)
	}
}

func TestEncodeIsTheSameEveryTime(t *testing.T) {
	v := map[string]any{"b": 1, "a": map[string]int{"z": 1, "y": 2}, "c": place{"Bari", 1}}
	first, err := contracts.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := contracts.Encode(v); err != nil || string(again) != string(first) {
			t.Fatalf("%s, then %s", first, again)
		}
	}
	if want := `{"a":{"y":2,"z":1},"b":1,"c":{"town":"Bari","rank":1}}`; string(first) != want {
		t.Errorf("%s, want %s", first, want)
	}
	if _, err := contracts.Encode(func() {}); contracts.KindOf(orNil(err)) != contracts.Internal {
		t.Errorf("what has no JSON: %v", err)
	}
}

func TestFaultsNameTheirPath(t *testing.T) {
	if s := contracts.Faultf("voucher.key", "want %d bits", 2048).Error(); s != "voucher.key: want 2048 bits" {
		t.Error(s)
	}
	for ref, ok := range map[contracts.Secret]bool{
		"secret://file/pec.password": true, "secret://file//run/secrets/x": true, "secret://env/PEC_PASSWORD": true,
		"": false, "hunter2": false, "secret://file/": false, "secret://env": false, "secret://vault/x": false, "file/x": false,
	} {
		err := ref.Fault("smtp.password")
		if (err == nil) != ok {
			t.Errorf("a reference of %d characters: %v", len(ref), err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "smtp.password: ") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q lacks its path, or shows the secret", err)
		}
	}
}

func TestOpInfoIsPlainToReaders(t *testing.T) {
	raw, err := contracts.Encode(opFind.LaneOf(place{"Bari", 1}))
	if err != nil || !json.Valid(raw) {
		t.Errorf("a lane does not travel: %v", err)
	}
}
