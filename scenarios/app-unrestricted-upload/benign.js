'use strict'
// Visitors hang up photos of the three kinds, with the names that cameras and people give them.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { get, upload, PNG } = require('./wall')

const photos = [
  ['my.holiday photo (1).PNG', 'image/png', PNG],
  ['IMG_0042.jpeg', 'image/jpeg', Buffer.from('ffd8ffe000104a46494600010100000100010000ffd9', 'hex')],
  ['été <html>.jpg', 'image/jpeg', Buffer.from('ffd8ffe100104a46494600010100000100010000ffd9', 'hex')],
  ['dancing.js.gif', 'image/gif', Buffer.from('47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b', 'hex')]
]

benign(async () => {
  for (const [title, type, data] of photos) {
    const { status, value } = await upload(title, type, data)
    assert.strictEqual(status, 201, value.error)
    assert.strictEqual(value.title, title)
    const got = await get(value.url)
    assert.strictEqual(got.headers.get('content-type'), type)
    assert.ok(got.data.equals(data), `${title} came back changed`)
  }
  const list = JSON.parse((await get('/photos')).data)
  assert.deepStrictEqual(list.map(photo => photo.title), photos.map(([title]) => title))
})
