package hub

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"raccordo/contracts"
)

// warn finds what is worth a warning, once there are no faults.
func (c *Config) warn(d *document) {
	about := &document{file: d.file, root: d.root, last: d.last}
	for _, need := range slices.Sorted(maps.Keys(c.Routes)) {
		path := join("routes", need)
		for _, text := range c.unhurried(need) {
			about.fault(about.place(path), path, "%s", text)
		}
	}
	c.Warnings = about.findings()
}

// A pacing is an operation and a class of subjects, in the words of the need.
type pacing struct{ op, class string }

// unhurried words, for each operation and class of which some instance of a route tells its pace, that none of them
// answers while the caller waits: whoever asks then is told to wait, and an operator should know it before they do.
func (c *Config) unhurried(need string) []string {
	inLists := map[pacing][]string{}
	atOnce := map[pacing]bool{}
	everything := map[string]bool{} // operations that some instance answers at once, whoever it is about
	for _, name := range c.Routes[need] {
		told := map[string]bool{}
		for _, p := range pacesOf(c.Adapters[name].Config) {
			told[p.Op.Name] = true
			of := pacing{p.Op.Name, p.For}
			if p.AtOnce {
				atOnce[of] = true
			} else {
				inLists[of] = append(inLists[of], name)
			}
		}
		for _, op := range c.Adapters[name].Config.Operations() {
			if !told[op.Name] {
				everything[op.Name] = true
			}
		}
	}
	var texts []string
	for of, by := range inLists {
		if needOf(of.op) == need && !atOnce[of] && !everything[of.op] {
			texts = append(texts, fmt.Sprintf("%s for %s: answered in lists only, by %s: whoever waits will be told to wait; add an instance that answers at once",
				of.op, of.class, strings.Join(by, ", ")))
		}
	}
	slices.Sort(texts)
	return texts
}

func pacesOf(cfg contracts.Config) []contracts.Pace {
	if p, ok := cfg.(contracts.Pacer); ok {
		return p.Paces()
	}
	return nil
}
