package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A line of a cart. bought has, of each checkout that has claimed the line and has not been removed from the cart yet, how many.
type line struct {
	quantity int
	bought   map[string]int
}

// A cart, which never changes: each operation makes another one. claimed has the checkouts whose removal is still to come.
type cart struct {
	lines   map[int]line
	claimed map[string]bool
	text    string // equal where the carts are
}

func newCart(lines map[int]line, claimed map[string]bool) cart {
	var parts []string
	for product, one := range lines {
		for checkout, quantity := range one.bought {
			parts = append(parts, fmt.Sprintf("%d/%s=%d", product, checkout, quantity))
		}
		parts = append(parts, fmt.Sprintf("%d=%d", product, one.quantity))
	}
	for checkout := range claimed {
		parts = append(parts, "claimed "+checkout)
	}
	sort.Strings(parts)
	return cart{lines, claimed, strings.Join(parts, " ")}
}

// with returns the cart with another line of a product; nil: without one.
func (c cart) with(product int, changed *line) cart {
	lines := map[int]line{}
	for other, one := range c.lines {
		lines[other] = one
	}
	delete(lines, product)
	if changed != nil {
		lines[product] = *changed
	}
	return newCart(lines, c.claimed)
}

// shows tells whether an answer shows this cart. Without an answer nothing is known.
func (c cart) shows(answer map[string]int) bool {
	if answer == nil {
		return true
	}
	if len(answer) != len(c.lines) {
		return false
	}
	for product, quantity := range answer {
		number, err := strconv.Atoi(product)
		if err != nil || c.lines[number].quantity != quantity {
			return false
		}
	}
	return true
}

// claim is what a checkout reads, to buy it: the cart stays as it is, and its lines know who has claimed them.
func (c cart) claim(checkout string) cart {
	lines := map[int]line{}
	for product, one := range c.lines {
		bought := map[string]int{checkout: one.quantity}
		for other, quantity := range one.bought {
			bought[other] = quantity
		}
		lines[product] = line{one.quantity, bought}
	}
	claimed := map[string]bool{checkout: true}
	for other := range c.claimed {
		claimed[other] = true
	}
	return newCart(lines, claimed)
}

// removal takes out what a checkout has bought, once. A line that was made after the claim is another line, and is left alone.
func (c cart) removal(checkout string) cart {
	lines := map[int]line{}
	for product, one := range c.lines {
		quantity, mine := one.bought[checkout]
		if !mine {
			lines[product] = one
			continue
		}
		if one.quantity <= quantity {
			continue
		}
		bought := map[string]int{}
		for other, number := range one.bought {
			if other != checkout {
				bought[other] = number
			}
		}
		lines[product] = line{one.quantity - quantity, bought}
	}
	claimed := map[string]bool{}
	for other := range c.claimed {
		if other != checkout {
			claimed[other] = true
		}
	}
	return newCart(lines, claimed)
}

var cartModel = porcupine.Model{
	Init:  func() interface{} { return newCart(map[int]line{}, map[string]bool{}) },
	Equal: func(one, other interface{}) bool { return one.(cart).text == other.(cart).text },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		before, asked := state.(cart), input.(operation)
		there, has := before.lines[asked.Product]
		after := before
		switch asked.Kind {
		case "read":
		case "add":
			there.quantity += asked.Number
			after = before.with(asked.Product, &there)
		case "set":
			if !has {
				// It changes nothing. Where there was no answer, that may be what has happened.
				return asked.Refused == "cart_item_not_found" || asked.Cart == nil, before
			}
			there.quantity = asked.Number
			after = before.with(asked.Product, &there)
		case "remove":
			if !has {
				return asked.Refused == "cart_item_not_found" || asked.Cart == nil, before
			}
			after = before.with(asked.Product, nil)
		case "clear":
			after = newCart(map[int]line{}, before.claimed)
		case "claim":
			if asked.Refused == "cart_empty" {
				return len(before.lines) == 0, before
			}
			return before.shows(asked.Cart), before.claim(asked.ID)
		case "removal":
			return before.claimed[asked.ID], before.removal(asked.ID)
		default:
			return false, before
		}
		return asked.Refused == "" && after.shows(asked.Cart), after
	},
	DescribeOperation: func(input, _ interface{}) string {
		asked := input.(operation)
		return fmt.Sprintf("%s %d %d %s → %v %s", asked.Kind, asked.Product, asked.Number, asked.ID, asked.Cart, asked.Refused)
	},
	DescribeState: func(state interface{}) string { return state.(cart).text },
}
