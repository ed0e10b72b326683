'use strict'
// The site itself: its page and its logo are served, nonsense is refused, and a photo arrives after it.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { get, upload, PNG } = require('./wall')

benign(async t => {
  const home = await get('/')
  assert.match(home.headers.get('content-type'), /^text\/html/)
  assert.match(home.data.toString(), /<title>Photo wall<\/title>/)
  assert.strictEqual((await get('/logo.png')).headers.get('content-type'), 'image/png')
  assert.strictEqual((await upload('large.png', 'image/png', Buffer.concat([PNG, Buffer.alloc(1 << 20)]))).status, 413)
  assert.strictEqual((await t.request({ method: 'POST', path: '/photos', body: 'no form' })).status, 415)
  assert.strictEqual((await get('/uploads/missing.png')).status, 404)
  const { value } = await upload('after all.png', 'image/png', PNG)
  assert.ok((await get(value.url)).data.equals(PNG))
})
