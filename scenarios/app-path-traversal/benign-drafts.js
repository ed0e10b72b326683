'use strict'
// An editor writes drafts, in folders of their own too, and reads them back.
const { benign } = require('@crisol/trial')
const assert = require('assert')

benign(async t => {
  for (const path of ['/drafts/plan.txt', '/drafts/2026/q1/plan...v2.txt', '/drafts/caf%C3%A9/..menu.txt', '/drafts/secret/ideas.txt']) {
    const put = await t.request({ method: 'PUT', path, body: `draft at ${path}` })
    assert.strictEqual(put.status, 201, put.body)
    assert.strictEqual((await t.request({ path })).body, `draft at ${path}`)
  }
  assert.strictEqual((await t.request({ path: '/pages/plan.txt' })).status, 404)
  assert.strictEqual((await t.request({ path: '/pages/index.txt' })).body, 'Welcome to the handbook.\n')
})
