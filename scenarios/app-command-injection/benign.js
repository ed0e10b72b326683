'use strict'
// Somebody searches their notes for texts that hold characters which mean something to a shell, or to grep.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ask } = require('./notebook')

benign(async t => {
  const found = async q => (await ask(t, '/search', { q })).value
  assert.deepStrictEqual(await found('r&d report'), [{ note: 'work.txt', line: 'the R&D report is due' }])
  assert.deepStrictEqual(await found('Monday; bring'), [{ note: 'work.txt', line: 'R&D meets on Monday; bring the figures' }])
  assert.deepStrictEqual(await found('egg'), [{ note: 'shopping list.txt', line: 'eggs' }])
  assert.strictEqual((await found('t')).length, 4)
  assert.deepStrictEqual(await found('.*'), [])
})
