package hub_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
)

// A finder looks for many texts at once, in whatever form they may have been written down.
type finder struct {
	forms map[uint64][]form // by their first eight bytes
}

type form struct {
	bytes []byte
	what  string // never the text itself
}

const prefix = 8

// add takes up a text that must not be found, in each form that software gives to text.
func (f *finder) add(what, text string) {
	if len(text) < prefix {
		panic("too short to be looked for")
	}
	if f.forms == nil {
		f.forms = map[uint64][]form{}
	}
	put := func(how string, b []byte) {
		b = bytes.ToLower(b)
		key := binary.BigEndian.Uint64(b)
		f.forms[key] = append(f.forms[key], form{b, what + ", " + how})
	}
	for _, text := range []string{text, strings.ToLower(text), strings.ToUpper(text)} {
		put("as it is", []byte(text))
		put("in hexadecimal", []byte(hex.EncodeToString([]byte(text))))
		wide := make([]byte, 0, 2*len(text))
		for _, u := range utf16.Encode([]rune(text)) {
			wide = binary.BigEndian.AppendUint16(wide, u)
		}
		put("in UTF-16", bytes.Trim(wide, "\x00")) // of either byte order
		if s, err := json.Marshal(text); err == nil {
			put("in JSON", bytes.Trim(s, `"`))
		}
		escaped := ""
		for _, r := range text {
			escaped += fmt.Sprintf(`\u%04x`, r)
		}
		put("in JSON, escaped", []byte(escaped))
		put("in a URL", []byte(url.QueryEscape(text)))
		for shift := range 3 { // base64 looks otherwise at each of three places; its edges depend on the neighbours
			from := (3 - shift) % 3
			whole := (len(text) - from) / 3 * 3
			put("in base64", []byte(base64.RawStdEncoding.EncodeToString([]byte(text)[from:from+whole])))
			put("in base64 for URLs", []byte(base64.RawURLEncoding.EncodeToString([]byte(text)[from:from+whole])))
		}
	}
}

// in tells what stands in data, also across folded lines; without regard to case.
func (f *finder) in(data []byte) (found []string) {
	low := bytes.ToLower(data)
	unfolded := bytes.ReplaceAll(bytes.ReplaceAll(low, []byte("=\r\n"), nil), []byte("\r\n"), nil)
	for _, data := range [][]byte{low, unfolded} {
		for i := 0; i+prefix <= len(data); i++ {
			for _, x := range f.forms[binary.BigEndian.Uint64(data[i:])] {
				if bytes.HasPrefix(data[i:], x.bytes) && !slices.Contains(found, x.what) {
					found = append(found, x.what)
				}
			}
		}
	}
	return found
}

// castFinder knows every code, name and address of the cast.
func castFinder() *finder {
	f := &finder{}
	seen := map[string]bool{}
	add := func(what, text string) {
		if !seen[text] && len(text) >= prefix {
			seen[text] = true
			f.add(what, text)
		}
	}
	for _, m := range lab.Cast() {
		add("codice fiscale of "+m.ID, m.CodiceFiscale)
		add("partita IVA of "+m.ID, m.PartitaIVA)
		add("name of "+m.ID, m.Name)
		for _, d := range m.INAD {
			add("address of "+m.ID+" in INAD", d.Address)
		}
		if m.INIPEC != nil {
			add("address of "+m.ID+" in INI-PEC", m.INIPEC.Enterprise)
			for _, a := range m.INIPEC.Professionals {
				add("address of "+m.ID+" in INI-PEC", a)
			}
		}
	}
	return f
}

// scan looks through every file below the folders, save those for which skip says so. It tells how many bytes it saw.
func (f *finder) scan(t *testing.T, skip func(path string) bool, dirs ...string) (found map[string][]string, size int) {
	t.Helper()
	found = map[string][]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // gone since the folder was read
			}
			if err != nil || !e.Type().IsRegular() || skip(path) {
				return err
			}
			b, err := os.ReadFile(path)
			if os.IsNotExist(err) {
				return nil
			}
			size += len(b)
			if what := f.in(b); len(what) > 0 {
				found[filepath.Base(path)] = what
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found, size
}

// What lies on the disk tells of nobody: not while the hub works, not when it has stopped.
func TestNothingAtRestNamesAnybody(t *testing.T) {
	heavy(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp) // whatever anybody writes for a moment lands here
	t.Setenv("SQLITE_TMPDIR", temp)
	f := castFinder()
	const code = "ATTIVA-7731-QX"
	f.add("the activation code", code)
	f.add("the text", "è il Suo codice personale")
	f.add("the subject", "Oggetto riservato della pratica")
	f.add("the attachment", "CONTENUTO-DELL-ALLEGATO")
	f.add("the attachment's name", "contratto-di-soggiorno.pdf")

	logged, err := os.Create(filepath.Join(temp, "hub.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close()
	loud := options(func(o *hub.Options) {
		o.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	r := &rig{t: t, bench: lab.Start(t, mocks.All()...), dir: filepath.Join(temp, "hub")}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.open(massive, unlimited, loud, with("store:\n", "store:\n  reserve: 0\n", "routes:\n", "tickets: {lot_min: 5}\nroutes:\n"))
	defer func() { r.stop() }()
	known := map[string]bool{filepath.Join(r.dir, "hub.yaml"): true} // names the mocks' own mailbox
	written, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range written {
		if !strings.HasPrefix(e.Name(), "hub.db") {
			known[filepath.Join(r.dir, e.Name())] = true // credentials, as the configuration refers to them
		}
	}
	theirs := r.bench.Dir()
	skip := func(path string) bool {
		return known[path] || strings.HasPrefix(path, theirs+string(filepath.Separator))
	}
	clean := func(when string, least int) {
		t.Helper()
		found, size := f.scan(t, skip, temp)
		for file, what := range found {
			t.Errorf("%s, %s holds %s", when, file, strings.Join(what, "; "))
		}
		if size < least {
			t.Errorf("%s, only %d bytes were looked through", when, size)
		}
		t.Logf("%s: %d bytes, %d forms", when, size, len(f.forms))
	}

	// In flight: lists on their way, messages queued, one sent and not yet heard of, answers of direct look-ups.
	var tickets []string
	for i, m := range mixed(60) {
		ticket, err := contracts.Submit(r.as(fmt.Sprint("R-", i)), r.hub, domicile.OpLookup, query(t, m))
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket.ID)
		if m.Capacity == lab.Person && i%4 == 1 {
			if _, err := domicile.Via(r.hub).Lookup(r.as(fmt.Sprint("D-", i)), query(t, m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var secret, plain []string
	for i, m := range mixed(24) {
		id := fmt.Sprint("M-", i)
		message := message(t, addressOf(m), id)
		message.Secret = i%2 == 0
		message.Subject = contracts.NewPrivate("Oggetto riservato della pratica " + id)
		message.Text = contracts.NewPrivate("Gentile " + m.Name + " (" + m.CodiceFiscale + "),\r\n" + code + " è il Suo codice personale.\r\n")
		message.Attachments = []delivery.Attachment{{
			Name:      contracts.NewPrivate("contratto-di-soggiorno.pdf"),
			MediaType: "application/pdf", Content: contracts.NewBlob([]byte(strings.Repeat("CONTENUTO-DELL-ALLEGATO "+m.Name, 200))),
		}}
		ticket, err := contracts.Submit(contracts.WithKey(r.as(id), "code/"+id), r.hub, delivery.OpSend, message)
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket.ID)
		if message.Secret {
			secret = append(secret, ticket.ID)
		} else {
			plain = append(plain, ticket.ID)
		}
	}
	r.state(secret[0], contracts.StateWaiting)
	if kept, err := r.hub.Tickets().Kept(t.Context(), secret[0]); err != nil || len(kept) == 0 || !bytes.Contains(kept[0].Bytes, []byte(code)) {
		t.Errorf("before it is settled the frozen message should hold the code: %d texts, %v", len(kept), err)
	}
	clean("in flight", 100_000)

	for _, x := range r.followed(tickets) {
		if x.State != contracts.StateDone {
			t.Fatalf("%s ended %s: %v", x.Op, x.State, x.Err)
		}
	}
	clean("settled", 100_000)

	// What a secret message said is nowhere any more, not even sealed: neither in what was asked, nor in what was frozen,
	// nor in what came back. Of another message it is.
	if what := r.opened(f, plain[0]); !slices.ContainsFunc(what, func(s string) bool { return strings.HasPrefix(s, "the activation code") }) {
		t.Errorf("an ordinary message, opened, should hold its text; it holds %q", what)
	}
	for _, id := range secret {
		for _, what := range r.opened(f, id) {
			if strings.HasPrefix(what, "the activation code") || strings.HasPrefix(what, "the text") || strings.HasPrefix(what, "the attachment,") {
				t.Errorf("a secret message that was settled still holds %s", what)
			}
		}
	}
	var export bytes.Buffer
	if err := r.hub.ExportLedger(t.Context(), &export, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if what := f.in(export.Bytes()); len(what) > 0 || export.Len() < 10_000 {
		t.Errorf("an export of %d bytes holds %s", export.Len(), strings.Join(what, "; "))
	}
	r.stop()
	clean("stopped", 100_000)

	// The scan can find: what an unwise caller gives as a case, which is not for persons, stands there in clear.
	r.open(massive, loud)
	someone := lab.Who("personal-domicile")
	if _, err := domicile.Via(r.hub).Lookup(r.as(someone.Name), query(t, someone)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(temp, "left-over.tmp"), []byte(base64.StdEncoding.EncodeToString([]byte("From: "+someone.INAD[0].Address))), 0o600); err != nil {
		t.Fatal(err)
	}
	found, _ := f.scan(t, skip, temp)
	if found["hub.db"] == nil && found["hub.db-wal"] == nil || found["left-over.tmp"] == nil {
		t.Errorf("the canaries were found in %v only", found)
	}
}

// addressOf is where a member of the cast is reached.
func addressOf(m lab.Member) string {
	if m.Capacity == lab.Enterprise {
		return m.INIPEC.Enterprise
	}
	for _, d := range m.INAD {
		if d.Profession == "" && d.Until.IsZero() {
			return d.Address
		}
	}
	return ""
}

// state waits, in real time and under a clock that stands, until a ticket has come to a state.
func (r *rig) state(id string, want contracts.State) contracts.Ticket {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.as(""), 20*time.Second)
	defer cancel()
	for {
		t, err := r.hub.Ticket(ctx, id)
		if err != nil {
			r.t.Fatalf("ticket: %v", err)
		}
		if t.State == want {
			return t
		}
		wait := time.NewTimer(time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			r.t.Fatalf("ticket is %s (%v), want %s", t.State, t.Err, want)
		}
	}
}

// opened is what the finder sees of a ticket when all that is sealed about it is opened: the request, the frozen bytes,
// the answer, the events and every proof.
func (r *rig) opened(f *finder, id string) []string {
	r.t.Helper()
	var all bytes.Buffer
	req, err := r.hub.Tickets().Request(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := contracts.Encode(req)
	if err != nil {
		r.t.Fatal(err)
	}
	all.Write(b)
	kept, err := r.hub.Tickets().Kept(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, k := range kept {
		all.Write(k.Bytes)
	}
	ticket, err := r.hub.Ticket(r.as(""), id)
	if err != nil {
		r.t.Fatal(err)
	}
	all.Write(ticket.Result)
	if len(ticket.Story) < 2 {
		r.t.Errorf("the story has %d events, want receipts", len(ticket.Story))
	}
	for _, e := range ticket.Story {
		all.Write(e.Data)
		for _, sum := range e.Proof {
			proof, err := r.hub.Proof(sum)
			if err != nil {
				r.t.Fatalf("proof: %v", err)
			}
			if _, err := io.Copy(&all, proof); err != nil {
				r.t.Fatal(err)
			}
			_ = proof.Close()
		}
	}
	return f.in(all.Bytes())
}
