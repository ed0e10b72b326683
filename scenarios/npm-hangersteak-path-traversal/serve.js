'use strict'
const http = require('http')

// A server that gives out public/.
module.exports = t => t.serve(8080, () => {
  const hangersteak = require('hangersteak')
  http.createServer((req, res) => hangersteak(req, res, { dir: 'public' })).listen(8080)
})
