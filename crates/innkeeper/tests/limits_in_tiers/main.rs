//! Guests that never end, in every tier and while they change from one to another: L3 and L4 of the sandbox's list, case by case.

mod endless;
mod guests;
mod house;
mod reach;
mod recursion;
mod setting;
mod stores;
