package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/hub/evidence"
	"raccordo/mocks/pec"
)

// exported exports through an operator into a folder of its own, with the roots beside it.
func (r *rig) exported(t *testing.T, o hub.Operator, of string) string {
	t.Helper()
	var out bytes.Buffer
	if err := o.ExportEvidence(t.Context(), &out, evidence.Request{Of: of, Operator: "g.operatrice", Reason: "richiesta del TAR"}); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "prove")
	if err := evidence.Unpack(&out, dir, func(evidence.File) {}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "roots.pem"), r.provider().RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func manifestOf(t *testing.T, dir string) (m evidence.Manifest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shell runs a command of the export's own as it stands there.
func shell(t *testing.T, dir, command string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "set -e; "+command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("%s\n%s", command, out)
		return err
	}
	return nil
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// A court's expert has openssl and sha256sum, none of our programs, and comes when the certificates have expired.
func TestAnExportVerifiesWithOpenSSLAlone(t *testing.T) {
	t.Parallel()
	needs(t, "openssl", "sha256sum")
	for name, certificate := range map[string]pec.Certificate{"valid": pec.Sound, "expired since": pec.ValidAtSigning} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if err := r.provider().SetCertificate(certificate); err != nil {
				t.Fatal(err)
			}
			m := message(t, "mario.rossi@pec.cittadini.test", "EV-1")
			m.Secret = false
			sent, err := contracts.Submit(contracts.WithKey(r.as("EV-1"), "code/1"), r.hub, delivery.OpSend, m)
			if err != nil {
				t.Fatal(err)
			}
			if done := r.settled(sent.ID); done.State != contracts.StateDone {
				t.Fatalf("%s: %v", done.State, done.Err)
			}
			dir := r.exported(t, operated(t, r), sent.ID)
			for _, command := range []string{
				"sha256sum -c SHA256SUMS ledger/SHA256SUMS",
				"for s in ledger/head-*.sig; do openssl pkeyutl -verify -pubin -inkey ledger/key.pem -rawin -in ${s%.sig}.bin -sigfile $s; done",
			} {
				if err := shell(t, dir, command); err != nil {
					t.Errorf("%s: %v", command, err)
				}
			}
			receipts := manifestOf(t, dir).Tickets[0].Receipts
			if len(receipts) != 2 {
				t.Fatalf("%d receipts, want acceptance and delivery", len(receipts))
			}
			for _, receipt := range receipts {
				if len(receipt.Commands) == 0 || len(receipt.Inside) != 2 {
					t.Errorf("%s: %d commands, %d files taken out", receipt.File, len(receipt.Commands), len(receipt.Inside))
				}
				if receipt.TrustStore != contracts.SumOf(r.provider().RootsPEM()) || receipt.Received.IsZero() {
					t.Errorf("%s: by which roots, and as of when, is not said", receipt.File)
				}
				story, err := os.ReadFile(filepath.Join(dir, "story.json"))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range receipt.Inside {
					if !strings.Contains(string(story), f.Sum.String()) {
						t.Errorf("%s: the adapter found another one inside", f.Path)
					}
				}
				for _, command := range receipt.Commands {
					if err := shell(t, dir, command); err != nil {
						t.Errorf("%s: %v", command, err)
					}
				}
				verify := receipt.Commands[1]
				bare := strings.Join(strings.Fields(verify)[:11], " ") + " -out /dev/null"
				if err := shell(t, dir, bare); (err == nil) != (certificate == pec.Sound) {
					t.Errorf("today, without an instant: %s: %v", bare, err)
				}
				text, err := os.ReadFile(filepath.Join(dir, receipt.File))
				if err != nil {
					t.Fatal(err)
				}
				altered := bytes.Replace(text, []byte("name=\"daticert.xml\""), []byte("name=\"daticert.xm1\""), 1)
				if err := os.WriteFile(filepath.Join(dir, receipt.File), altered, 0o600); err != nil {
					t.Fatal(err)
				}
				if shell(t, dir, receipt.Commands[0]) == nil || shell(t, dir, verify) == nil {
					t.Errorf("%s: an altered receipt passes", receipt.File)
				}
			}
		})
	}
}

// The whole of an export of a secret message is looked through for its text, in every form that software gives to text.
func TestNoExportHoldsASecretMessage(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]bool{"a secret": true, "a canary": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			m := message(t, "mario.rossi@pec.cittadini.test", "EV-2")
			m.Secret = secret
			m.Attachments = []delivery.Attachment{{
				Name: contracts.NewPrivate("contratto-di-soggiorno.pdf"), MediaType: "application/pdf",
				Content: contracts.NewBlob([]byte("CONTENUTO-DELL-ALLEGATO, e altro")),
			}}
			sent, err := contracts.Submit(contracts.WithKey(r.as("EV-2"), "code/2"), r.hub, delivery.OpSend, m)
			if err != nil {
				t.Fatal(err)
			}
			f := &finder{}
			f.add("the text", "SEGRETISSIMO-EV-2")
			f.add("the attachment", "CONTENUTO-DELL-ALLEGATO")
			f.add("the attachment's name", "contratto-di-soggiorno.pdf")
			look := func(when string) {
				dir := r.exported(t, r.hub, "EV-2")
				found, size := f.scan(t, func(string) bool { return false }, dir)
				if size < 5000 {
					t.Errorf("%s: only %d bytes were looked through", when, size)
				}
				if secret {
					for file, what := range found {
						t.Errorf("%s: %s holds %q", when, file, what)
					}
				} else if len(found["message.eml"]) < 2 {
					t.Errorf("%s: the canary does not sing: %q", when, found)
				}
				if miss := manifestOf(t, dir).Tickets[0].Missing; secret && (len(miss) == 0 || miss[0].Why != evidence.Withheld) {
					t.Errorf("%s: %+v", when, miss)
				}
			}
			r.arrived(1)
			look("while receipts are due")
			r.settled(sent.ID)
			look("when it is settled")
		})
	}
}

// A full disk at the operator's end, or a hub that goes away, is an error there and no half export.
func TestAnExportThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := message(t, "mario.rossi@pec.cittadini.test", "EV-3")
	sent, err := contracts.Submit(contracts.WithKey(r.as("EV-3"), "code/3"), r.hub, delivery.OpSend, m)
	if err != nil {
		t.Fatal(err)
	}
	q := evidence.Request{Of: sent.ID, Operator: "g.operatrice", Reason: "why"}
	for where, o := range map[string]hub.Operator{"here": r.hub, "through the socket": operated(t, r)} {
		if err := o.ExportEvidence(t.Context(), full{}, q); !errors.Is(err, errFull) {
			t.Errorf("a full disk, %s: %v", where, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := o.ExportEvidence(gone, &bytes.Buffer{}, q); err == nil {
			t.Errorf("nobody waits any more, %s, and no error", where)
		}
	}
}

type full struct{}

var errFull = errors.New("the disk is full")

func (full) Write([]byte) (int, error) { return 0, errFull }

// Whoever asks must say who and why, here as through the socket; what does not exist is not found.
func TestEvidenceIsAskedForByName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for where, o := range map[string]hub.Operator{"here": r.hub, "through the socket": operated(t, r)} {
		for what, c := range map[string]struct {
			q    evidence.Request
			kind contracts.Kind
		}{
			"nobody":     {evidence.Request{Of: "x", Reason: "why"}, contracts.Invalid},
			"no reason":  {evidence.Request{Of: "x", Operator: "g"}, contracts.Invalid},
			"no ticket":  {evidence.Request{Operator: "g", Reason: "why"}, contracts.Invalid},
			"not there":  {evidence.Request{Of: "x", Operator: "g", Reason: "why"}, contracts.NotFound},
			"not a path": {evidence.Request{Of: "../x", Operator: "g", Reason: "why"}, contracts.NotFound},
		} {
			var out bytes.Buffer
			if err := o.ExportEvidence(t.Context(), &out, c.q); err == nil || contracts.KindOf(err) != c.kind || out.Len() > 0 {
				t.Errorf("%s, %s: %v, %d bytes", what, where, err, out.Len())
			}
		}
	}
}
