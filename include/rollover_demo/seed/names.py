"""Lists from which believable people, codes and settings are made. None belongs to a real person."""

from __future__ import annotations

from datetime import time


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = _words(
    """
    Aaliyah Abigail Adrian Aiden Alejandra Alex Amara Amelia Andre Anika Anthony Aria Asher Aubrey Ava
    Beatriz Benjamin Bianca Brandon Caleb Camila Carlos Caroline Chloe Christian Daniel Daniela David
    Diego Dominic Elena Eli Elijah Elise Emma Ethan Eva Ezra Fatima Felix Gabriel Gabriela Greta Hana
    Hannah Henry Hudson Imani Isaac Isabel Isaiah Ivan Jada Jasmine Jayden Jonah Jordan Jose Josephine
    Josiah Julian Kai Kayla Kenji Kiara Lena Leo Liam Lila Logan Lucas Lucia Luna Maeve Malik Marcus
    Maria Mason Mateo Maya Mei Mia Micah Miguel Mila Nadia Naomi Nathan Nia Noah Nora Oliver Olivia Omar
    Owen Paige Penelope Priya Quinn Rafael Rosa Ruby Ryan Samir Samuel Sarah Sebastian Selena Sofia
    Stella Talia Theo Tyler Valeria Victor Violet William Xavier Yara Zoe
    """
)
FAMILY = _words(
    """
    Abbott Acosta Adler Aguilar Alvarado Anders Avery Ayala Bailey Banks Barrera Beck Bennett Bishop
    Blake Booker Bravo Briggs Calderon Callahan Cano Carver Castillo Chao Chavez Cho Coleman Conway
    Cortez Crane Cruz Dalton Delgado Dixon Donovan Duarte Eaton Ellis Escobar Espinoza Farley Ferro
    Figueroa Finch Flores Foster Franco Galvan Garner Gentry Gibbs Goodwin Granger Guerra Haddad Hale
    Harper Hayes Herrera Hobbs Holt Hoang Ibarra Ingram Irwin Jarvis Juarez Kane Keller Khan Kim Knox
    Kramer Lambert Lang Larson Leal Lindsey Lozano Lucero Maddox Malone Marsh Medina Mendez Mercado
    Meyer Monroe Montoya Moreno Nash Navarro Nguyen Nolan Norris Ochoa Okafor Ortega Osborne Pacheco
    Parrish Patel Pena Pierce Pollard Prince Quintero Ramsey Reyes Rhodes Rivas Robles Rojas Rowe Salazar
    Santos Sawyer Serrano Shaw Silva Singh Solis Stokes Suarez Tate Tran Trujillo Valdez Vance Vega
    Velasco Wade Walsh Watts Weaver Whitaker Xiong Yates Ybarra Yoder Yoon Zamora Zhang Zimmerman
    """
)

# (slug, name, kind, points, weight): what a school tracks and how often it occurs.
BEHAVIOR_CODES = (
    ("respect", "Showing respect", "positive", 2, 18),
    ("responsibility", "Taking responsibility", "positive", 2, 15),
    ("kindness", "Act of kindness", "positive", 3, 11),
    ("participation", "Active participation", "positive", 1, 16),
    ("improvement", "Great improvement", "positive", 5, 4),
    ("teamwork", "Teamwork", "positive", 2, 8),
    ("disruption", "Class disruption", "negative", 0, 6),
    ("phone", "Phone out in class", "negative", 0, 4),
    ("language", "Inappropriate language", "negative", 0, 2),
    ("dress", "Dress code", "negative", 0, 2),
    ("tardy", "Tardy to class", "tardy", 0, 11),
    ("late", "Late to school", "tardy", 0, 3),
)
# (slug, name, code, threshold): what follows when a code was tracked that often.
ACTIONS = (
    ("lunch-detention", "Lunch detention", "tardy", 3),
    ("parent-call", "Call to parents", "disruption", 3),
    ("phone-office", "Phone kept in the office", "phone", 2),
    ("conference", "Parent conference", "language", 2),
    ("saturday-school", "Saturday school", "late", 4),
)
EVENT_COMMENTS = (
    "Helped without being asked",
    "Third reminder today",
    "Talked it through",
    "Made up the work",
)
LOCATIONS = ("Classroom", "Hallway", "Cafeteria", "Gym", "Library", "Front office", "Bus loop")
# (slug, name, subject, body); the product fills the braces when it sends.
EMAIL_TEMPLATES = (
    ("tardy", "Tardy notice", "Your student was tardy", "{student} was tardy on {date}."),
    ("positive", "Good news", "Good news from school", "{student} earned {points} points for {code}."),
    ("action", "Consequence assigned", "A consequence was assigned", "{student} has {action} on {date}."),
    ("weekly", "Weekly summary", "This week at school", "{student}'s week: {summary}"),
)
AVATARS = ("otter", "falcon", "robot", "astronaut", "dragon", "fox", "panda", "comet")
FACT_PATHWAYS = ("Addition", "Subtraction", "Multiplication", "Division")
# When the periods of a school day begin; each lasts 45 minutes.
PERIODS = tuple(time(8 + n, 5) for n in range(7))
