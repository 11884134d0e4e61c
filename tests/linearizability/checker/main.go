// Checks histories of carts and of checkout keys for linearizability.
//
// It reads a JSON array of operations, checks the history of each object with porcupine, and prints one JSON object that says
// how many there were and which are not linearizable. Of each of those it draws a page for a browser into -pages.
// Exit code 0: all are linearizable; 1: some are not; 2: not all could be decided in time; 3: the input is wrong.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation as it was recorded. Times are in nanoseconds of one clock.
type operation struct {
	Object  string         `json:"object"` // cart:<user> or key:<user>/<key>
	Client  int            `json:"client"`
	Call    int64          `json:"call"`
	Return  *int64         `json:"return"` // absent: nobody knows whether and when it took effect
	Kind    string         `json:"kind"`
	Product int            `json:"product"`
	Number  int            `json:"quantity"`
	Cart    map[string]int `json:"cart"` // product to quantity, as the answer shows it; absent: there was no answer
	Refused string         `json:"refused"`
	ID      string         `json:"id"`
	Status  string         `json:"status"`
	Body    string         `json:"body"`
}

type verdict struct {
	Objects         int      `json:"objects"`
	Operations      int      `json:"operations"`
	Unknown         int      `json:"unknown"`
	NotLinearizable []string `json:"not_linearizable"`
	Undecided       []string `json:"undecided"`
}

func main() {
	seconds := flag.Int("seconds", 60, "the most time for one object")
	pages := flag.String("pages", "", "where pages of histories that are not linearizable go")
	flag.Parse()
	var operations []operation
	if err := json.NewDecoder(os.Stdin).Decode(&operations); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	histories := map[string][]porcupine.Operation{}
	found := verdict{Operations: len(operations), NotLinearizable: []string{}, Undecided: []string{}}
	for _, one := range operations {
		end := int64(math.MaxInt64)
		if one.Return != nil {
			end = *one.Return
		} else {
			found.Unknown++
		}
		histories[one.Object] = append(histories[one.Object],
			porcupine.Operation{ClientId: one.Client, Input: one, Call: one.Call, Output: one, Return: end})
	}
	names := make([]string, 0, len(histories))
	for name := range histories {
		names = append(names, name)
	}
	sort.Strings(names)
	found.Objects = len(names)
	for _, name := range names {
		model := keyModel
		if strings.HasPrefix(name, "cart:") {
			model = cartModel
		}
		result, info := porcupine.CheckOperationsVerbose(model, histories[name], time.Duration(*seconds)*time.Second)
		switch result {
		case porcupine.Unknown:
			found.Undecided = append(found.Undecided, name)
		case porcupine.Illegal:
			found.NotLinearizable = append(found.NotLinearizable, name)
			if *pages != "" {
				file := strings.NewReplacer(":", "-", "/", "-").Replace(name) + ".html"
				if err := porcupine.VisualizePath(model, info, filepath.Join(*pages, file)); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(3)
	}
	switch {
	case len(found.NotLinearizable) > 0:
		os.Exit(1)
	case len(found.Undecided) > 0:
		os.Exit(2)
	}
}
