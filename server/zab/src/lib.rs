#![no_std]
//! ZAB.
