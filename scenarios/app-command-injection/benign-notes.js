'use strict'
// Somebody writes, sorts and counts notes whose names hold blanks, quotes and ampersands.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask } = require('./notebook')

benign(async t => {
  assert.deepStrictEqual((await ask(t, '/sorted', { name: 'shopping list.txt' })).value, { text: 'butter\neggs\nflour\nmilk\n' })
  for (const name of ["Ann's plans & hopes; 2026.txt", 'a - b (draft) #2.txt', 'été.txt']) {
    const put = await ask(t, '/note', { name }, { method: 'PUT', body: 'pears and\napples\n' })
    assert.deepStrictEqual(put, { status: 200, value: { written: name } })
    assert.deepStrictEqual((await ask(t, '/sorted', { name })).value, { text: 'apples\npears and\n' })
    assert.deepStrictEqual((await ask(t, '/count', { name })).value, { words: 3 })
    assert.deepStrictEqual((await ask(t, '/note', { name })).value, { text: 'pears and\napples\n' })
  }
  assert.strictEqual((await ask(t, '/note', { name: '../app.js' })).status, 400)
  assert.strictEqual((await ask(t, '/sorted', { name: 'missing.txt' })).status, 500)
})
