package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"mime/quotedprintable"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// manifestAt reads one message's manifest.
func manifestAt(t *testing.T, dir string) manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("manifest: %v", err)
	}
	return m
}

func TestEvidenceIsAFolderPerMessage(t *testing.T) {
	t.Parallel()
	r := whole(t)
	sums := map[string]string{} // by case, of the bytes that the provider got
	for _, m := range r.taken {
		_, id, _ := strings.Cut(m.Subject, "pratica ")
		sums[id] = m.Sum
	}
	entries, err := os.ReadDir(r.out)
	if err != nil {
		t.Fatal(err)
	}
	folders := 0
	for _, e := range entries {
		if !e.IsDir() {
			if e.Name() != rootsFile {
				t.Errorf("%s stands beside the folders", e.Name())
			}
			continue
		}
		folders++
		dir := filepath.Join(r.out, e.Name())
		m := manifestAt(t, dir)
		if m.Ticket != e.Name() || !m.Secret || m.Message.String() != sums[m.Case] {
			t.Errorf("manifest of %s: ticket %s, digest %s; the provider got %s", m.Case, m.Ticket, m.Message, sums[m.Case])
		}
		var d delivery.Dispatch
		if err := json.Unmarshal(m.Dispatch, &d); err != nil || d.MessageID == "" {
			t.Errorf("manifest of %s: dispatch %v, message id %q", m.Case, err, d.MessageID)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != len(m.Receipts)+1 {
			t.Errorf("%s: %d files, want the manifest and %d receipts", m.Case, len(files), len(m.Receipts))
		}
		for _, receipt := range m.Receipts {
			raw, err := os.ReadFile(filepath.Join(dir, receipt.File))
			if err != nil {
				t.Fatal(err)
			}
			if contracts.SumOf(raw) != receipt.Sum || len(raw) == 0 {
				t.Errorf("%s: %s is not what its digest says", m.Case, receipt.File)
			}
		}
		if m.Outcome == delivered && !kindIn(m, "pec.avvenuta-consegna") {
			t.Errorf("%s was delivered, and its folder holds no delivery receipt", m.Case)
		}
	}
	if folders != len(r.taken) {
		t.Errorf("%d folders for %d messages", folders, len(r.taken))
	}
}

func kindIn(m manifest, kind string) bool {
	for _, r := range m.Receipts {
		if r.Kind == kind {
			return true
		}
	}
	return false
}

// TestReceiptsVerifyAsTheManifestSays runs the command lines as they are printed, on a few messages of each outcome.
func TestReceiptsVerifyAsTheManifestSays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl on this machine")
	}
	r := whole(t)
	tried, verified := map[outcome]int{}, 0
	for _, one := range r.job.core.rows {
		if one.message == "" || tried[one.outcome] == 3 {
			continue
		}
		tried[one.outcome]++
		dir := filepath.Join(r.out, one.message)
		for _, receipt := range manifestAt(t, dir).Receipts {
			if text, err := shell(t, dir, receipt.Verify); err != nil {
				t.Errorf("%s: %s: %v: %s", one.describe(), receipt.Verify, err, text)
			}
			verified++
		}
	}
	if verified < 8 {
		t.Errorf("only %d receipts were tried", verified)
	}
	// The command can fail: a receipt with one letter changed does not verify.
	for _, one := range r.job.core.rows {
		if one.outcome != delivered {
			continue
		}
		dir := filepath.Join(r.out, one.message)
		receipt := manifestAt(t, dir).Receipts[0]
		raw, err := os.ReadFile(filepath.Join(dir, receipt.File))
		if err != nil {
			t.Fatal(err)
		}
		own := filepath.Join(t.TempDir(), "message")
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		roots, err := os.ReadFile(filepath.Join(r.out, rootsFile))
		if err != nil {
			t.Fatal(err)
		}
		forged := bytes.Replace(raw, []byte("Content-Disposition: inline"), []byte("Content-Disposition: inlinf"), 1)
		if bytes.Equal(forged, raw) {
			t.Fatal("nothing to forge in the receipt")
		}
		for name, content := range map[string][]byte{filepath.Join("..", rootsFile): roots, receipt.File: forged} {
			if err := os.WriteFile(filepath.Join(own, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := shell(t, own, receipt.Verify); err == nil {
			t.Error("a forged receipt verifies")
		}
		break
	}
}

func shell(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func TestEvidenceHoldsNoSecret(t *testing.T) {
	t.Parallel()
	r := whole(t)
	var codes []string
	for _, one := range r.job.core.rows {
		if one.message != "" {
			codes = append(codes, r.job.core.code(one.id))
		}
	}
	if len(codes) < 250 {
		t.Fatalf("only %d codes", len(codes))
	}
	files := 0
	err := filepath.WalkDir(r.out, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for form, text := range forms(raw) {
			if leaks(text, codes) {
				t.Errorf("%s holds an activation code or the message's text (%s)", e.Name(), form)
			}
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, want 600", e.Name(), info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 500 {
		t.Errorf("only %d files were looked at", files)
	}
	// The search can find: plain, in base64 and in quoted-printable.
	secret := "Il codice di attivazione è " + codes[0] + ".\r\nNon comunicarlo a nessuno."
	var quoted bytes.Buffer
	w := quotedprintable.NewWriter(&quoted)
	io.WriteString(w, secret)
	w.Close()
	for _, planted := range []string{secret, "x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\r\n", quoted.String()} {
		found := false
		for _, text := range forms([]byte(planted)) {
			found = found || leaks(text, codes)
		}
		if !found {
			t.Errorf("a planted secret was not found in %q", planted)
		}
	}
}

func leaks(text []byte, codes []string) bool {
	if bytes.Contains(text, []byte("Non comunicarlo")) {
		return true
	}
	for _, code := range codes {
		if bytes.Contains(text, []byte(code)) {
			return true
		}
	}
	return false
}

var base64Line = regexp.MustCompile(`^[A-Za-z0-9+/=]{4,}$`)

// forms are a file as it is, and with what transfer encodings may hide brought to light.
func forms(raw []byte) map[string][]byte {
	out := map[string][]byte{"plain": raw}
	if text, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw))); err == nil || len(text) > 0 {
		out["quoted-printable"] = text
	}
	var decoded []byte
	block := ""
	for line := range strings.Lines(string(raw) + "\n.\n") {
		if line = strings.TrimSpace(line); base64Line.MatchString(line) {
			block += line
			continue
		}
		if text, err := base64.StdEncoding.DecodeString(block); err == nil {
			decoded = append(append(decoded, text...), '\n')
		}
		block = ""
	}
	out["base64"] = decoded
	return out
}
