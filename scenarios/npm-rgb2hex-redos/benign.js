'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const rgb2hex = require('rgb2hex')
  const both = colour => { const { hex, alpha } = rgb2hex(colour); return [hex, alpha] }
  assert.deepStrictEqual(both('rgb(210,43,2)'), ['#d22b02', 1])
  assert.deepStrictEqual(both('rgb( 0 , 0 , 0 )'), ['#000000', 1])
  assert.deepStrictEqual(both('rgba(255, 255, 255, .5)'), ['#ffffff', 0.5])
  assert.deepStrictEqual(both('rgba(12,173,22,.67)'), ['#0cad16', 0.67])
  assert.deepStrictEqual(both('#f00ba2'), ['#f00ba2', 1])
  assert.throws(() => rgb2hex('rgb(1,2)'), /valid rgb/)
  assert.throws(() => rgb2hex('something'), /valid rgb/)
  assert.throws(() => rgb2hex(5), /string/)
})
