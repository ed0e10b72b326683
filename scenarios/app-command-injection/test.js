'use strict'
// The notebook's own tests: routes, refusals, and what its tools print.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask } = require('./notebook')

benign(async t => {
  const value = async (path, query) => (await ask(t, path, query)).value
  assert.deepStrictEqual(await value('/notes'), ['shopping list.txt', 'work.txt'])
  assert.match((await value('/note', { name: 'work.txt' })).text, /^R&D meets on Monday/)
  assert.deepStrictEqual(await value('/count', { name: 'work.txt' }), { words: 15 })
  assert.match((await value('/sorted', { name: 'work.txt' })).text, /noon\n/)
  assert.deepStrictEqual(await value('/search', { q: 'LUNCH' }), [{ note: 'work.txt', line: 'lunch at noon' }])

  assert.strictEqual((await ask(t, '/note', { name: 'empty.txt' }, { method: 'PUT', body: '' })).status, 200)
  assert.deepStrictEqual(await value('/count', { name: 'empty.txt' }), { words: 0 })
  assert.deepStrictEqual(await value('/sorted', { name: 'empty.txt' }), { text: '' })
  assert.deepStrictEqual(await value('/notes'), ['empty.txt', 'shopping list.txt', 'work.txt'])

  for (const name of ['', '.hidden', '../app.js', '/etc/passwd']) {
    assert.strictEqual((await ask(t, '/sorted', { name })).status, 400, name)
    assert.strictEqual((await ask(t, '/count', { name })).status, 400, name)
  }
  assert.strictEqual((await ask(t, '/elsewhere')).status, 404)
})
