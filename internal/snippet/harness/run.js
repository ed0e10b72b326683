'use strict'
// Runs one input of a snippet's trial: node harness/run.js attack|benign KIT FILE. See the doc of the package snippet.
const trial = require('@crisol/trial') // first: it reads the secret of the run before any snippet is loaded
const path = require('path')
const { Snippet } = require('./snippet')

const exit = process.exit.bind(process)
const write = require('fs').writeSync

const [mode, kitFile, file] = process.argv.slice(2)
const work = path.dirname(__dirname)
const kit = require(path.join(work, kitFile))

// plainly says in one line why a run can't be told or isn't healthy: a stack would only show the harness.
const plainly = body => async t => {
  try { return await body(t) } catch (err) {
    write(2, `snippet: ${(err && err.message) || err}\n`)
    exit(3)
  }
}

if (mode === 'attack') {
  trial.exploit(plainly(async t => {
    const target = new Snippet(path.join(work, 'app', file), kit)
    const affected = new Snippet(path.join(work, 'affected', file), kit)
    const effect = await kit.attack({ target, affected }, t.payload)
    if (effect) {
      console.log(`the effect was seen with ${JSON.stringify(effect)}`)
      return true
    }
    const faults = target.outcomes.filter(o => !o.control)
    const fault = faults.find(o => !o.proper) || faults.find(o => !o.used)
    if (!faults.length) throw new Error('the kit never ran the snippet')
    if (fault) throw new Error(fault.fault || 'the snippet never used its input' + (fault.error ? `: ${fault.error.message || fault.error}` : ''))
    await t.attack(() => {}) // every run was proper: the payload reached the snippet
    return false
  }))
} else {
  trial.benign(plainly(async t => {
    const affected = new Snippet(path.join(work, 'affected', file), kit)
    const target = new Snippet(path.join(work, 'app', file), kit)
    await kit.benign({ target, affected }, t.payload)
    const bad = target.outcomes.find(o => !o.proper && !o.control)
    if (bad) throw new Error(bad.fault)
  }))
}
