'use strict'
// A reader opens pages in folders; names may hold two dots, blanks and percent signs.
const { benign } = require('@crisol/trial')
const assert = require('assert')

benign(async t => {
  const text = async path => (await t.request({ path })).body
  assert.strictEqual(await text('/pages/'), 'guide/50% off.txt\nguide/getting..started.txt\nindex.txt')
  assert.strictEqual(await text('/pages/index.txt'), 'Welcome to the handbook.\n')
  assert.strictEqual(await text('/pages/guide/getting..started.txt'), 'Install it, then read on.\n')
  assert.strictEqual(await text('/pages/guide%2F50%25%20off.txt'), 'Fifty percent off.\n')
  assert.strictEqual((await t.request({ path: '/pages/missing.txt' })).status, 404)

  const res = await t.request({ path: '/download?file=guide/getting..started.txt' })
  assert.strictEqual(res.body, 'Install it, then read on.\n')
  assert.match(res.headers['content-disposition'], /attachment; filename="getting\.\.started\.txt"/)
})
