'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')
const fs = require('fs')
const { promisify } = require('util')

benign(async t => {
  const diskstats = require('diskstats')
  fs.mkdirSync('my-files_1.0')
  const check = promisify((path, done) => { diskstats.check(path, done).catch(() => {}) })
  for (const path of ['/', 'my-files_1.0', process.cwd()]) {
    const disk = await check(path)
    assert(disk.total > 0 && disk.used >= 0 && disk.free >= 0, JSON.stringify(disk))
  }
  await assert.rejects(check('/no/such/folder'))
})
