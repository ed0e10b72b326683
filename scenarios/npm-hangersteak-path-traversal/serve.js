'use strict'
const http = require('http')

// serve starts a server over public/ and resolves to its port.
module.exports = async t => {
  const hangersteak = require('hangersteak')
  http.createServer((req, res) => hangersteak(req, res, { dir: 'public' })).listen(8080)
  await t.ready(8080)
  return 8080
}
