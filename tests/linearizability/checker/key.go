package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// A checkout key: which checkout it has, and how that has ended; empty while it has none, or has not.
type key struct{ id, ended string }

// A key has one checkout for ever, and one end with one answer. It is refused only while it has no checkout, and once it has been
// said to have ended it is never said to run.
var keyModel = porcupine.Model{
	Init: func() interface{} { return key{} },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		before, asked := state.(key), input.(operation)
		if asked.Refused != "" {
			return before.id == "", before
		}
		if before.id != "" && before.id != asked.ID {
			return false, before
		}
		if asked.Status == "PROCESSING" {
			return before.ended == "", key{asked.ID, before.ended}
		}
		end := asked.Status + " " + asked.Body
		return before.ended == "" || before.ended == end, key{asked.ID, end}
	},
	DescribeOperation: func(input, _ interface{}) string {
		asked := input.(operation)
		return fmt.Sprintf("%s → %s %s %s", asked.Kind, asked.ID, asked.Status, asked.Refused)
	},
	DescribeState: func(state interface{}) string { return fmt.Sprintf("%+v", state) },
}
